"""The words of rules, English and Chinese: portrait fields, event types, what events may be asked to be about."""

from __future__ import annotations

import re
from collections.abc import Mapping

from portraits.field import Field

FIELDS: Mapping[str, tuple[str, str]] = {
    "first_seen": ("first visit", "首次来访"),
    "last_seen": ("latest visit", "最近来访"),
    "actions": ("actions", "行为数"),
    "page_views": ("pages opened", "页面浏览数"),
    "item_views": ("items viewed", "商品浏览数"),
    "content_views": ("articles and videos opened", "内容浏览数"),
    "searches": ("searches", "搜索数"),
    "carts": ("items put into the cart", "加购数"),
    "favorites": ("items marked as favourite", "收藏数"),
    "shares": ("shares", "分享数"),
    "clicks": ("clicks", "点击数"),
    "revenue": ("revenue from advertisements and leads", "广告与线索收入"),
    "visits": ("visits", "来访次数"),
    "bounce_share": ("share of visits of a single event", "跳出率"),
    "active_days": ("days with a visit", "活跃天数"),
    "days_since_seen": ("days since the latest visit", "距上次来访天数"),
    "funnel_depth": ("furthest step", "最远环节"),
    "orders": ("orders", "订单数"),
    "largest_order": ("largest order", "最大订单金额"),
    "lines": ("order lines", "订单行数"),
    "units": ("units bought", "购买件数"),
    "items_bought": ("different items bought", "购买商品种数"),
    "categories_bought": ("different categories bought", "购买品类数"),
    "spend": ("money paid", "消费金额"),
    "net_spend": ("money paid less refunds", "净消费金额"),
    "refunds": ("refunds", "退款次数"),
    "refunded": ("money refunded", "退款金额"),
    "refund_share": ("share of money refunded", "退款占比"),
    "margin": ("margin", "毛利"),
    "first_order": ("first purchase", "首次购买"),
    "last_order": ("latest purchase", "最近购买"),
    "order_days": ("days with an order", "下单天数"),
    "order_gap_days": ("days between orders", "下单间隔天数"),
    "expected_gap_days": ("expected days between orders", "预期下单间隔天数"),
    "order_value": ("average order", "客单价"),
    "recency_days": ("days since the latest purchase", "距上次购买天数"),
    "recency_class": ("recency class", "近度等级"),
    "frequency_class": ("frequency class", "频度等级"),
    "money_class": ("money class", "额度等级"),
    "rfm": ("RFM classes", "RFM等级"),
    "overdue": ("expected gaps since the latest purchase", "逾期倍数"),
    "stage": ("lifecycle stage", "生命周期阶段"),
    "price_level": ("price level", "价位"),
    "price_band": ("price band", "价格带"),
    "discount_share": ("share of the list price saved", "折扣占比"),
    "full_price_share": ("share of lines at full price", "原价购买占比"),
    "deepest_discount": ("deepest discount", "最深折扣"),
    "offers_claimed": ("offers claimed", "领券数"),
    "offers_redeemed": ("offers redeemed", "用券数"),
    "favourite_hour": ("usual hour", "常来时段"),
    "favourite_weekday": ("usual weekday", "常来星期"),
    "weekend_share": ("share of visits at weekends", "周末来访占比"),
    "last_order_day": ("day of the latest order", "最近下单日"),
    "due_date": ("day the next order is due", "预计下次下单日"),
    "first_channel": ("first channel", "首次渠道"),
    "last_channel": ("latest channel", "最近渠道"),
    "usual_channel": ("usual channel", "常用渠道"),
    "best_channel": ("most profitable channel", "最有价值渠道"),
    "scan_share": ("share of visits by scanning", "扫码来访占比"),
    "share_share": ("share of visits by a shared card", "分享来访占比"),
    "channels": ("channels", "渠道"),
    "categories": ("categories drawn to", "品类偏好"),
    "brands": ("brands drawn to", "品牌偏好"),
    "top_category": ("favourite category", "首选品类"),
    "top_subcategory": ("favourite subcategory", "首选子品类"),
    "top_brand": ("favourite brand", "首选品牌"),
    "persona": ("persona", "人群画像"),
}
"""Phrases of common fields; the others are told by their names."""

TYPES: Mapping[str, tuple[str, str, str]] = {
    "launch": ("launch", "launches", "启动"),
    "page_view": ("page opened", "pages opened", "浏览页面"),
    "item_view": ("item viewed", "items viewed", "浏览商品"),
    "content_view": ("article or video opened", "articles or videos opened", "浏览内容"),
    "search": ("search", "searches", "搜索"),
    "cart": ("item put into the cart", "items put into the cart", "加购"),
    "cart_remove": ("item taken out of the cart", "items taken out of the cart", "移出购物车"),
    "favorite": ("item marked as favourite", "items marked as favourite", "收藏"),
    "unfavorite": ("favourite unmarked", "favourites unmarked", "取消收藏"),
    "share": ("share", "shares", "分享"),
    "share_open": ("shared card opened", "shared cards opened", "打开分享"),
    "store_enter": ("store visit", "store visits", "到店"),
    "purchase": ("purchase", "purchases", "购买"),
    "refund": ("refund", "refunds", "退款"),
    "order_cancel": ("order cancelled", "orders cancelled", "取消订单"),
    "group_open": ("group buy started", "group buys started", "开团"),
    "group_join": ("group buy joined", "group buys joined", "参团"),
    "group_success": ("group buy that succeeded", "group buys that succeeded", "成团"),
    "group_fail": ("group buy that failed", "group buys that failed", "拼团失败"),
    "exposure": ("item shown", "items shown", "商品曝光"),
    "click": ("item clicked", "items clicked", "点击商品"),
    "ad_impression": ("advertisement shown", "advertisements shown", "广告曝光"),
    "ad_click": ("advertisement clicked", "advertisements clicked", "点击广告"),
    "offer_exposure": ("offer shown", "offers shown", "优惠曝光"),
    "offer_claim": ("offer claimed", "offers claimed", "领取优惠"),
    "offer_redeem": ("offer redeemed", "offers redeemed", "使用优惠"),
    "offer_return": ("offer given back", "offers given back", "退回优惠"),
    "offer_expire": ("offer expired", "offers expired", "优惠过期"),
    "message_sent": ("message sent", "messages sent", "收到消息"),
    "message_open": ("message opened", "messages opened", "打开消息"),
    "subscribe": ("subscription", "subscriptions", "订阅"),
    "unsubscribe": ("subscription ended", "subscriptions ended", "取消订阅"),
}
"""An event type: one of them, several, in Chinese. A type of the app's own is told by its name, quoted."""

PROPERTIES: Mapping[str, tuple[str, str]] = {
    "item_id": ("item", "商品"),
    "category": ("category", "品类"),
    "brand": ("brand", "品牌"),
    "tag": ("tag", "标签"),
    "store_id": ("store", "门店"),
    "content_id": ("content", "内容"),
    "offer_id": ("offer", "优惠"),
}

_WINDOWED = re.compile(r"(.+)_(\d+)d")


def field_words(field: Field, lang: str) -> str:
    """A field in words: a phrase where there is one, with its window in days; else its name."""
    known = FIELDS.get(field.name)
    if known is not None:
        return known[1] if lang == "zh" else known[0]
    windowed = _WINDOWED.fullmatch(field.name)
    if windowed is None:
        return field.name if lang == "zh" else field.name.replace("_", " ")
    name, days = windowed.groups()
    past = f"last {days} days" in field.meaning
    if lang == "zh":
        return f"最近{days}天{FIELDS[name][1]}" if past and name in FIELDS else field.name
    words = FIELDS[name][0] if name in FIELDS else name.replace("_", " ")
    return f"{words} in the last {days} days" if past else f"{words} ({days} days)"
