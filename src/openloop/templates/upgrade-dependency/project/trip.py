"""How far it is."""

import units


def miles(kilometres):
    return units.convert(kilometres, "mi")
