"""WeChat Pay: offers to and from bodies of coupon stocks (`to_stock`, `from_stock`), coupons as events (`coupons`)."""
