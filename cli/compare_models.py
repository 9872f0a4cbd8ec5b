"""Run the command line from a checkout: ``python cli/compare_models.py resnet18 mobilenet_v2``."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

root = Path(__file__).resolve().parent
sys.path[0] = str(root.parent)
spec = spec_from_file_location("modelcmp_cli", root / "__init__.py", submodule_search_locations=[str(root)])
assert spec is not None
package = sys.modules["modelcmp_cli"] = module_from_spec(spec)

if __name__ == "__main__":
    from modelcmp_cli.main import run

    run()
