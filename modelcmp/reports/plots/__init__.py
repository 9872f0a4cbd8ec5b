"""Pictures of profiles: each is data first (tested), then drawn (looked at).

``scatter``, ``bars``, ``growth`` and ``roofline.roofline`` make the data; ``save`` draws it into a png, svg or
html file. matplotlib and jinja2 are imported only when something is drawn.
"""

from .data import Scatter, scatter
from .panels import Bars, Growth, bars, growth
from .saving import Picture, check_picture, save

__all__ = ["Bars", "Growth", "Picture", "Scatter", "bars", "check_picture", "growth", "save", "scatter"]
