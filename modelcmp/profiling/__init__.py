"""From a module and its inputs to a frozen :class:`~modelcmp.records.Trace` and the figures that follow."""
