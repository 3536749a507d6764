"""Files that were refused, or taken for another reason, before the libraries decided."""

from tests.e2e.images.files import (
    Case,
    Goes,
    heic_with_parameters_inside,
)

CASES = [
    Case(
        "heic with parameter sets inside the item, as Sony's",
        heic_with_parameters_inside,
        Goes(tolerance=10),
    ),
]
