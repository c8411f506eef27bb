"""The sample shop: a seeded world with a planted truth, for the demo, notebooks, tests and benchmarks.

`history` writes its past as files a merchant would import, and its truth to a folder of its own; `World` stands at the
end of that past and answers, day by day, to what is shown to its visitors.

The world is `plan` (size, days, seeds), `goods`, `people`, `campaigns` and `choice` (how people choose), together a
`shop`. A `day` is `visits`, what they `browse`, `social` (what they share), `orders` of `lines` with `coupons`, all
told as `rows`. `history` strings days together, with `faults` on the way to the files, `catalogues`, and the `truth`;
`world` asks `response` what comes of showing things.
"""

from portraits.sample.history import Written, history
from portraits.sample.world import World, records

__all__ = ["World", "Written", "history", "records"]
