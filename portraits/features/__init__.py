"""Portrait fields: one module a family. Importing the package fills `registry.REGISTRY` in the portrait's order."""

from portraits.features import visits as _visits  # noqa: I001  (the order of the families is the order of the columns)
from portraits.features import purchases as _purchases
from portraits.features import price as _price
from portraits.features import rhythm as _rhythm
from portraits.features import entrance as _entrance
from portraits.features import taste as _taste
from portraits.features import membership as _membership
from portraits.features import place as _place
from portraits.features import social as _social
from portraits.features import content as _content
from portraits.features.registry import REGISTRY, Feature

FAMILIES = tuple(
    module.__name__.rpartition(".")[2]
    for module in (_visits, _purchases, _price, _rhythm, _entrance, _taste, _membership, _place, _social, _content)
)

__all__ = ["FAMILIES", "REGISTRY", "Feature"]
