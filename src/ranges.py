"""Types of options with their ranges: annotations of a part's arguments, which src/schema.py checks at composition."""

import math
from collections.abc import Sequence
from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt, MinLen

Count = Annotated[int, Ge(1)]
Whole = Annotated[int, Ge(0)]
AtLeastTwo = Annotated[int, Ge(2)]
Positive = Annotated[float, Gt(0), Lt(math.inf)]
NonNegative = Annotated[float, Ge(0), Lt(math.inf)]
Share = Annotated[float, Ge(0), Le(1)]  # of a whole, both ends included
OpenShare = Annotated[float, Gt(0), Lt(1)]
Widths = Annotated[Sequence[Count], MinLen(1)]  # of layers
