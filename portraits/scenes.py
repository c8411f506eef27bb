"""Entrances: from a platform's scene value to a channel group, in one table for night and day.

WeChat's values are four digits, grouped here by what the visitor did (scanned, searched, was sent a card, ...) after
WeChat's list of scene values and its own source keys for the values that the list leaves out. Alipay's are four
digits too and mean something else. Douyin's are six characters with leading zeros: two for the host app, one for the
class of the entrance, three for the place; values that the table does not name fall back to their class.

Any other value is kept raw in the lake and counts as `other`; no value at all counts as `unknown`. A value without a
platform is read as WeChat's. `test_traffic` (trial versions, automated tests, crawlers, load tests) never enters a
portrait.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

TEST = "test_traffic"
UNKNOWN = "unknown"
OTHER = "other"

CHANNELS: Mapping[str, tuple[str, str]] = {
    "ad": ("an advertisement", "广告"),
    "channels_live": ("Channels or a live room", "视频号或直播"),
    "content": ("a video or article", "视频或文章"),
    "coupon": ("the card package", "卡包"),
    "customer_service": ("customer service", "客服消息"),
    "device": ("a device", "智能设备"),
    "discovery": ("the discover page", "发现页"),
    "external": ("a link from outside", "外部链接"),
    "game": ("the game centre", "游戏中心"),
    "history": ("recently used or favourites", "最近使用或收藏"),
    "nearby": ("nearby and city services", "附近与城市服务"),
    "official_account": ("the official account", "公众号"),
    "other": ("another entrance", "其他入口"),
    "other_mini_program": ("another mini program", "其他小程序"),
    "payment": ("the payment page", "支付页"),
    "pc": ("a computer", "电脑端"),
    "scan": ("scanning a code", "扫码"),
    "search": ("search", "搜索"),
    "share_chat": ("a card shared in a chat", "聊天分享"),
    "share_moments": ("Moments", "朋友圈"),
    "subscribe_message": ("a message", "订阅消息"),
    "test_traffic": ("test traffic", "测试流量"),
    "unknown": ("an unknown entrance", "未知入口"),
    "wecom": ("WeCom", "企业微信"),
}
"""Channel groups in alphabetical order (a group's place is its code), each in English and in Chinese."""

WECHAT: Mapping[str, str] = {
    "ad": "1045 1046 1067 1068 1084 1095 1189 1200 1201 1215 1228 1230 1232 1238 1274 1295 1387",
    "channels_live": "1161 1175 1176 1177 1179 1184 1191 1193 1195 1197 1198 1205 1206 1216 1219 1239 1282 1296",
    "coupon": "1028 1029 1052 1062 1128 1148",
    "customer_service": "1021 1073 1081",
    "device": "1039 1133 1171 1218 1220",
    "discovery": "1024 1112 1115 1118 1135 1141 1142 1143 1145 1278 1279 1285 1293 1303",
    "external": "1018 1055 1065 1069 1111 1140 1167 1168 1181 1194 1286 1379",
    "game": "1079 1127 1199 1272 1347 1362 1373",
    "history": "1001 1002 1003 1004 1010 1022 1023 1056 1085 1089 1090 1103 1104 1113 1114 1117 1131 1147 1151 1186 "
    "1187 1196 1223 1254 1255 1271 1273 1304 1378",
    "nearby": "1026 1033 1064 1075 1077 1078 1092 1134 1146 1169 1242 1245 1292 1307",
    "official_account": "1020 1035 1043 1058 1074 1076 1082 1091 1102 1130 1144 1152 1157 1261 1287 1305 1306 1309 "
    "1311",
    "other": "1000 1212",
    "other_mini_program": "1037 1038 1040 1041 1099 1248",
    "payment": "1019 1034 1057 1060 1061 1066 1070 1071 1072 1097 1100 1109 1137 1149",
    "pc": "1178 1256 1257 1258 1259 1260 1302 1308",
    "scan": "1011 1012 1013 1025 1031 1032 1047 1048 1049 1050 1105 1124 1125 1126 1150 1153 1374",
    "search": "1005 1006 1027 1042 1053 1054 1106 1108 1132 1183 1233 1244 1252 1280 1281 1297 1298 1299 1300 1301",
    "share_chat": "1007 1008 1036 1044 1093 1094 1096 1158 1159 1160 1173 1185 1208 1225 1226 1231 1265 1266 1267 1313",
    "share_moments": "1009 1110 1154 1155",
    "subscribe_message": "1014 1088 1107 1162",
    "test_traffic": "1017 1030 1059 1101 1129 1203",
    "wecom": "1119 1120 1121 1122 1123 1156 1192 1202 1207",
}

ALIPAY: Mapping[str, str] = {
    "ad": "1400",
    "channels_live": "1022",
    "coupon": "1401",
    "discovery": "1000 1001 1003 1039",
    "external": "1300",
    "history": "1002 1023 1090",
    "nearby": "1015 1200 1201 1202 1205 1208 1209 1215",
    "official_account": "1020",
    "other": "0000 1008",
    "other_mini_program": "1037 1038",
    "payment": "1403",
    "scan": "1011 1301",
    "search": "1005",
    "share_chat": "1007",
    "subscribe_message": "1014 1305",
}

DOUYIN: Mapping[str, str] = {
    "discovery": "021012 021037 021045",
    "history": "021001 021003 021013 021020 021036",
    "nearby": "023005",
    "official_account": "023003",
    "other": "021008",
    "other_mini_program": "021009 021010",
    "payment": "021027 021028 021031 021039",
    "scan": "021002",
    "share_moments": "024003",
}

DOUYIN_CLASSES: Mapping[str, str] = {
    "1": "history",
    "2": "search",
    "3": "content",
    "4": "share_chat",
    "5": "ad",
    "6": "ad",
    "7": "subscribe_message",
}
"""Third character of a Douyin value -> channel of the values that the table does not name."""

_LISTED: Mapping[str, Mapping[str, str]] = {"wechat": WECHAT, "alipay": ALIPAY, "douyin": DOUYIN}
SCENES: Mapping[tuple[str, str], str] = {
    (platform, scene): channel
    for platform, groups in _LISTED.items()
    for channel, scenes in groups.items()
    for scene in scenes.split()
}
"""(platform, scene) -> channel group, for every value that is named."""

CODES: Mapping[str, int] = {channel: code for code, channel in enumerate(CHANNELS)}
CODE_SPACE = 64
"""Codes are below it, so that a code can ride in the low digits of a whole number that is compared."""
TEST_SCENES: tuple[str, ...] = tuple(WECHAT[TEST].split())
"""Only WeChat marks its test traffic by scene; Alipay and Douyin do not."""


def channel(platform: str | None, scene: str | None) -> str:
    """Channel group of an entrance; `unknown` without a scene, `other` for a scene nobody listed."""
    if not scene:
        return UNKNOWN
    platform = platform or "wechat"
    named = SCENES.get((platform, scene))
    if named is None and platform == "douyin" and len(scene) == 6:
        return DOUYIN_CLASSES.get(scene[2], OTHER)
    return named or OTHER


def is_test(platform: Any, scene: Any) -> Any:
    """Ibis condition, never null: the event came in by test traffic."""
    return (platform.fill_null("wechat") == "wechat") & scene.fill_null("").isin(TEST_SCENES)


def lookup(entrances: pa.Table) -> pa.Table:
    """The rows of `entrances` (platform, scene; distinct) with the `code` of their channel.

    An app sees a few dozen distinct entrances: they are named in Python by `channel`, the very function that serving
    uses, and joined back, so that night and day cannot differ.
    """
    pairs = zip(entrances["platform"].to_pylist(), entrances["scene"].to_pylist(), strict=True)
    codes = [CODES[channel(platform, scene)] for platform, scene in pairs]
    return entrances.append_column("code", pa.array(codes, pa.int64()))
