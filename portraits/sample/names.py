"""Names and base figures of the sample shop: categories, brands, scenes, words. Data only, imports nothing of ours."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf category. `price` is the usual price of one in fen, `rhythm` the usual days between two purchases
    (0: bought when wanted, not on a rhythm), `weighed` goods are sold in fractions of a kilogram."""

    root: str
    name: str
    noun: str
    english: str
    price: int
    rhythm: int = 0
    weighed: bool = False


LEAVES = (
    Leaf("food", "tea", "茶叶", "tea", 6800, 30),
    Leaf("food", "coffee", "咖啡豆", "coffee beans", 4900, 21),
    Leaf("food", "snacks", "零食礼包", "snack box", 1900, 12),
    Leaf("food", "rice", "大米", "rice", 5900, 35),
    Leaf("food", "nuts", "坚果", "nuts", 3900),
    Leaf("fresh", "fruit", "水果", "fruit", 2500, 8, weighed=True),
    Leaf("fresh", "vegetables", "蔬菜", "vegetables", 1200, 8, weighed=True),
    Leaf("fresh", "milk", "鲜牛奶", "milk", 3500, 9),
    Leaf("fresh", "eggs", "鸡蛋", "eggs", 1800, 11),
    Leaf("fresh", "meat", "鲜肉", "meat", 4500, 10, weighed=True),
    Leaf("home", "detergent", "洗衣液", "detergent", 3900, 40),
    Leaf("home", "tissue", "纸巾", "tissues", 2500, 28),
    Leaf("home", "candle", "香薰蜡烛", "scented candle", 7900),
    Leaf("home", "towel", "毛巾", "towel", 2900),
    Leaf("home", "tableware", "餐具", "tableware", 5900),
    Leaf("beauty", "cleanser", "洁面乳", "cleanser", 6900, 45),
    Leaf("beauty", "mask", "面膜", "face mask", 8900, 25),
    Leaf("beauty", "lipstick", "口红", "lipstick", 15900),
    Leaf("beauty", "sunscreen", "防晒霜", "sunscreen", 9900),
    Leaf("beauty", "perfume", "香水", "perfume", 29900),
    Leaf("baby", "diapers", "纸尿裤", "diapers", 9900, 18),
    Leaf("baby", "formula", "奶粉", "formula", 21900, 24),
    Leaf("baby", "toys", "益智玩具", "toy", 8900),
    Leaf("baby", "books", "绘本", "picture book", 3900),
    Leaf("baby", "clothes", "童装", "baby clothes", 9900),
    Leaf("pet", "cat-food", "猫粮", "cat food", 8900, 28),
    Leaf("pet", "litter", "猫砂", "cat litter", 4900, 20),
    Leaf("pet", "dog-food", "狗粮", "dog food", 10900, 30),
    Leaf("pet", "treats", "宠物零食", "pet treats", 2900, 15),
    Leaf("pet", "beds", "宠物窝", "pet bed", 9900),
    Leaf("fashion", "t-shirt", "T恤", "T-shirt", 9900),
    Leaf("fashion", "dress", "连衣裙", "dress", 25900),
    Leaf("fashion", "shoes", "运动鞋", "trainers", 35900),
    Leaf("fashion", "bag", "双肩包", "backpack", 19900),
    Leaf("fashion", "socks", "袜子", "socks", 1900),
    Leaf("digital", "earphones", "蓝牙耳机", "earphones", 19900),
    Leaf("digital", "charger", "充电器", "charger", 7900),
    Leaf("digital", "case", "手机壳", "phone case", 3900),
    Leaf("digital", "lamp", "台灯", "desk lamp", 12900),
    Leaf("digital", "keyboard", "键盘", "keyboard", 25900),
)
ROOTS = tuple(dict.fromkeys(leaf.root for leaf in LEAVES))

BRAND_SYLLABLES = tuple("山 云 禾 木 青 白 东 南 海 月 星 雅 乐 优 品 源 然 初 谷 朗".split())
STYLES = tuple("简约 国风 北欧 复古 可爱 运动 商务 有机 轻奢 手作 清新 潮流".split())
SPECS = tuple("家庭装 尝鲜装 礼盒 经典款 升级款 春季限定 大包装 mini".split())
CITIES = (("上海", "wtw3"), ("杭州", "wtmk"), ("北京", "wx4g"), ("成都", "wm6n"), ("深圳", "ws10"), ("武汉", "wt3m"))
DEVICES = ("iPhone 15", "iPhone 13", "HUAWEI Mate 60", "Xiaomi 14", "OPPO Find X7", "vivo X100", "Redmi Note 13")
PLATFORMS = ("wechat", "alipay", "douyin")
PAGES = ("pages/home/index", "pages/item/detail", "pages/content/read", "pages/search/result", "pages/cart/index")
QUERY_EMOJI = "礼物🎁"

CHANNELS = (
    "history",
    "search",
    "scan",
    "share_chat",
    "official_account",
    "ad",
    "nearby",
    "payment",
    "subscribe_message",
)
CHANNEL_SHARES = (0.30, 0.16, 0.14, 0.0, 0.14, 0.12, 0.07, 0.07, 0.0)
"""How often a channel is a visitor's usual one; shares and messages happen, nobody uses them as a habit."""

SCENES = (
    ("1089", "1053", "1047", "1007", "1058", "1045", "1026", "1034", "1107"),
    ("1002", "1005", "1011", "1007", "1020", "1400", "1200", "1403", "1014"),
    ("021001", "022001", "021002", "024001", "023003", "025001", "023005", "021027", "027001"),
)
"""Entrance value by platform (rows, as PLATFORMS) and channel (columns, as CHANNELS)."""

TEST_SCENES = ("1129", "1030", "1017")
"""WeChat's crawler, automated test, trial version: traffic that is nobody's visit."""

SCENE_VALUES = tuple(dict.fromkeys(scene for row in SCENES for scene in row)) + TEST_SCENES


def brand_name(number: int) -> str:
    """A brand's name, unique by number: Chinese for two of three, else Latin letters."""
    count = len(BRAND_SYLLABLES)
    first, second, turn = number % count, (number // count + number) % count, number // (count * count)
    if number % 3 == 2:
        return f"Brand {number}"
    return BRAND_SYLLABLES[first] + BRAND_SYLLABLES[second] + (str(turn) if turn else "")
