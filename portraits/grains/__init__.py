"""Tables that features aggregate, one module a subject: each is made from a visitor's events and the catalogues.

`portraits.past.Past` hands them the events before T and keeps what several of them read.
"""
