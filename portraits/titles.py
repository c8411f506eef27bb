"""What the fields of a portrait are called, and how a value is said, in English and Chinese. Plain Python.

English titles are the fields' names as words; what is not clear from these is in the field's meaning. A test holds that
every field has a Chinese one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from portraits.field import Field
from portraits.words import money

_ZH = """
first_seen 首次到访|last_seen 最近到访|actions 行为次数|actions_30d 近30天行为次数|page_views 浏览页面次数
item_views 浏览商品次数|item_views_30d 近30天浏览商品次数|content_views 浏览内容次数|searches 搜索次数|carts 加购次数
favorites 收藏次数|shares 分享次数|clicks 点击次数|revenue 带来的广告等收入|page_seconds 页面停留秒数|visits 到访次数
visits_30d 近30天到访次数|dwell_seconds 平均停留秒数|bounce_share 跳出占比|active_days 活跃天数
active_days_30d 近30天活跃天数|days_since_seen 距上次到访天数|funnel_depth 最深的购买步骤|orders 订单数
orders_30d 近30天订单数|orders_90d 近90天订单数|largest_order 最大一单金额|basket_items 平均每单件数
largest_basket 最多一单件数|orders_cancelled 取消的订单数|undone 取消订单的金额|lines 购买行数|units 购买数量
items_bought 购买过的商品数|categories_bought 购买过的品类数|spend 消费金额|spend_30d 近30天消费金额
spend_90d 近90天消费金额|refunds 退款次数|refunded 退款金额|margin 毛利|margin_share 毛利率|first_order 首次下单
last_order 最近下单|order_days 下单天数|order_gap_days 下单间隔天数|net_spend 净消费金额|order_value 客单价
basket_lines 平均每单行数|refund_share 退款占比|cancel_share 取消占比|recency_days 距上次下单天数
recency_class 近度等级|frequency_class 频次等级|money_class 金额等级|expected_gap_days 预期下单间隔天数|rfm RFM等级
overdue 超期倍数|stage 生命周期阶段|unit_price_p25 单价下四分位|unit_price_median 单价中位数
unit_price_p75 单价上四分位|price_level 价位水平|discount_share 打折购买占比|full_price_share 原价购买占比
deepest_discount 最大折扣|priced_lines 有标价的购买行数|usual_discount 通常折扣|saved 节省金额|coupon_share 用券占比
merchant_paid_share 商家承担优惠占比|platform_paid_share 平台承担优惠占比|supplier_paid_share 供应商承担优惠占比
offers_shown 优惠曝光次数|offers_claimed 领券张数|offers_redeemed 用券张数|offer_chances 可用优惠次数
offers_taken 使用优惠次数|redemption_share 核销率|discount_sensitivity 优惠敏感度|price_band 价格带
categories 偏好品类|brands 偏好品牌|styles 偏好风格|price_tastes 偏好价位|avoided_categories 不感兴趣的品类
avoided_brands 不感兴趣的品牌|top_category 最偏好的品类|top_subcategory 最偏好的子品类|top_brand 最偏好的品牌
favourite_hour 最常来的时段|favourite_weekday 最常来的星期|weekend_share 周末到访占比|hour_counts 各时段到访次数
weekday_counts 各星期到访次数|night_share 夜间到访占比|morning_share 上午到访占比|afternoon_share 下午到访占比
evening_share 晚间到访占比|last_order_day 最近下单日|due_date 预计下次下单日|payday 发薪日
payday_share 发薪日后下单占比|paydays 各发薪日下单|category_rhythm 品类回购周期|item_rhythm 商品回购周期|due 该补货的
first_channel 首次渠道|last_channel 最近渠道|usual_channel 常用渠道|best_channel 带来收入最多的渠道
scan_share 扫码进入占比|share_share 由分享进入占比|channels 各渠道|member_tier 会员等级|member_days 入会天数
points_held 持有积分|points_earned 获得积分|points_spent 使用积分|benefits_used 使用会员权益次数
messages_sent 收到的消息数|messages_opened 打开的消息数|permissions_left 还可推送的消息数
message_open_share 消息打开率|store_spend_share 到店消费占比|store_visits 到店次数|stores_visited 去过的门店数
home_store 常去门店|home_store_share 常去门店占比|store_radius_km 常去范围公里数|store_reach_km 最远门店公里数
usual_store_hour 常到店时段|usual_city 常在城市|stores 各门店|cities 各城市|shares_30d 近30天分享次数
groups_opened 发起拼团数|groups_joined 参与拼团数|groups_succeeded 拼团成功数|groups_failed 拼团失败数
friends_reached 带来的好友数|paying_friends 付款的好友数|friends_spend 好友消费金额|last_friend 最近带来好友
brought_by 由谁带来|brought_depth 分享层级|friends_brought 带来的新客数|buyers_brought 带来的买家数
tree_size 分享树人数|tree_depth 分享树深度|friends_per_share 每次分享带来的好友数|friends_paid_share 好友付款占比
friends_paid_low 好友付款占比下限|friends_paid_high 好友付款占比上限|sharer_score 分享影响力
contents_opened 看过的内容数|content_purchases 由内容带来的购买数|content_spend 由内容带来的消费
favourite_content_kind 最常看的内容类型|content_spend_share 由内容带来的消费占比|contents 各内容
content_kinds 各内容类型|content_categories 内容中的品类|buy_7d 7天内下单概率|buy_7d_low 7天内下单概率下限
buy_7d_high 7天内下单概率上限|buy_30d 30天内下单概率|buy_30d_low 30天内下单概率下限|buy_30d_high 30天内下单概率上限
buy_90d 90天内下单概率|buy_90d_low 90天内下单概率下限|buy_90d_high 90天内下单概率上限|churn 流失概率
churn_low 流失概率下限|churn_high 流失概率上限|churn_days 流失判断天数|value_90d 预计90天消费
value_90d_low 预计90天消费下限|value_90d_high 预计90天消费上限|value_365d 预计一年消费|value_365d_low 预计一年消费下限
value_365d_high 预计一年消费上限|next_order_p10 下次下单最早日期|next_order_p50 下次下单中位日期
next_order_p90 下次下单最晚日期|next_category 下次可能购买的品类|next_category_chance 下次品类的概率
prediction_basis 预测依据|persona 人群编号|persona_name 人群名称（英文）|persona_name_zh 人群名称
persona_fit 与人群的相似度
"""
ZH: Mapping[str, str] = {
    name: title
    for line in _ZH.strip().split("\n")
    for name, _, title in (one.partition(" ") for one in line.split("|"))
}
SOURCES: Mapping[str, str] = {
    "events": "行为记录",
    "items": "商品目录",
    "users": "会员资料",
    "offers": "优惠目录",
    "stores": "门店目录",
    "contents": "内容目录",
    "fields above": "画像的其他字段",
    "persona": "人群",
}
LISTED = 5
"""Entries of a list that are said; the rest are counted."""


def title(field: Field, lang: str) -> str:
    """What a field is called."""
    if lang == "zh" and field.name in ZH:
        return ZH[field.name]
    text = field.name.replace("_", " ")
    return text[:1].upper() + text[1:]


def why(field: Field, lang: str) -> str:
    """What a field means and rests on."""
    named = [SOURCES.get(part, part) if lang == "zh" else part for part in field.source.split(", ")]
    return f"依据{'、'.join(named)}得出" if lang == "zh" else f"{field.meaning} Made from {', '.join(named)}."


def value(field: Field, known: Any, currency: str, zone: ZoneInfo, lang: str = "en") -> str:
    """A value of a field as people say it; '–' where it is unknown or empty."""
    zh = lang == "zh"
    match known:
        case None | []:
            said = "–"
        case bool():
            said = ("是" if known else "否") if zh else ("yes" if known else "no")
        case datetime():
            said = f"{known.astimezone(zone):%Y-%m-%d %H:%M}"
        case date():
            said = known.isoformat()
        case list():
            said = _entries(known, zh)
        case int() | float():
            said = _number(field, known, currency)
        case _:
            said = str(known)
    return said


def _number(field: Field, known: float, currency: str) -> str:
    if field.unit == "minor units":
        return money(known, currency)
    if field.unit in ("share", "probability"):
        return f"{known:.0%}"
    return f"{known:,}" if isinstance(known, int) else f"{known:,.4g}"


def _entries(known: Sequence[Any], zh: bool) -> str:
    said = ("、" if zh else ", ").join(map(_entry, known[:LISTED]))
    more = len(known) - LISTED
    return said if more <= 0 else said + (f"等{len(known)}项" if zh else f" and {more} more")


def _entry(entry: Any) -> str:
    """An entry of evidence: what it is about, and its share where it has one."""
    if not isinstance(entry, Mapping):
        return str(entry)
    named = str(next(iter(entry.values())))
    if isinstance(entry.get("weight"), float):
        return f"{named} ({entry['weight']:.0%})"
    count = next((one for one in list(entry.values())[1:] if isinstance(one, int)), None)
    return named if count is None else f"{named} ({count:,})"
