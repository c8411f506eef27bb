"""What stands around the visitor, by hand in DuckDB SQL: the families place, social and content of `portraits_sql`.

`point` (store_id, latitude, longitude in radians) is registered by the benchmark; the rest is SQL alone.
"""

PREPARE = {
    "store_day": """
        select user_id, store_id, day, hour(min(clock)) as hour, max(ts) as last_ts,
          count(*) filter (type = 'purchase') as purchases,
          coalesce(sum(amount) filter (type = 'purchase'), 0)::bigint as spend
        from (select *, ts at time zone 'Asia/Shanghai' as clock, (ts at time zone 'Asia/Shanghai')::date as day
          from events where store_id is not null and type not in ('message_sent', 'offer_expire', 'offer_return',
            'group_success', 'group_fail', 'refund', 'order_cancel'))
        group by user_id, store_id, day""",
    "arrival": """
        with seen as (select user_id, min(start_ts) as seen from visit group by user_id),
        came as (
          select distinct user_id as friend, referrer_user_id as sharer, ts from events
          where referrer_user_id <> user_id and type not in ('message_sent', 'offer_expire', 'offer_return',
            'group_success', 'group_fail', 'refund', 'order_cancel'))
        select friend, sharer, ts, ts <= f.seen + interval 30 minutes and s.seen < f.seen as is_first
        from came join seen f on friend = f.user_id join seen s on sharer = s.user_id""",
    "friend": """
        with pair as (select friend, sharer, min(ts) as first_ts, max(ts) as last_ts from arrival group by all),
        kept as (
          select * from pair p where not exists (from pair b where b.friend = p.sharer and b.sharer = p.friend
            and (b.first_ts, b.sharer) < (p.first_ts, p.sharer))),
        paid as (
          select user_id as friend, ts, sum(amount) as spend from trade where type = 'purchase'
          and user_id in (select friend from kept) group by all),
        led as (
          select friend, sharer, spend from paid join (select a.* from arrival a join kept using (friend, sharer)) a
            using (friend)
          where a.ts <= paid.ts and paid.ts < a.ts + interval 24 hours
          qualify row_number() over (partition by friend, paid.ts order by a.ts desc, sharer) = 1),
        sums as (select friend, sharer, count(*) as purchases, sum(spend)::bigint as spend from led group by all)
        select kept.*, coalesce(purchases, 0) as purchases, coalesce(spend, 0) as spend
        from kept left join sums using (friend, sharer)""",
    "kin": """
        with recursive edge as (
          select friend as child, sharer as parent from arrival where is_first
          qualify row_number() over (partition by friend order by ts, sharer) = 1),
        up as (
          select child, parent as ancestor, 1 as steps from edge
          union all select up.child, parent, steps + 1 from up join edge on up.ancestor = edge.child where steps < 8),
        both_ways as (
          select child as user_id, ancestor as relative, -steps as steps from up
          union all select ancestor, child, steps from up)
        select *, relative in (select user_id from trade where type = 'purchase') as buyer from both_ways""",
    "shown": "select distinct content_id, unnest(item_ids) as item_id from contents",
    "view": "select user_id, content_id, ts from events where type = 'content_view' and content_id is not null",
    "led": """
        with sold as (
          select user_id, item_id, content_id, ts, count(*) as purchases, sum(amount) as spend
          from events where type = 'purchase' group by all),
        touch as (
          select user_id, item_id, content_id, ts from view join shown using (content_id)
          where user_id in (select user_id from sold)
          union all select user_id, item_id, content_id, ts from events
          where content_id is not null and item_id is not null and type not in ('purchase', 'message_sent',
            'offer_expire', 'offer_return', 'group_success', 'group_fail', 'refund', 'order_cancel')),
        last_touch as (
          select s.user_id, t.content_id, s.ts, purchases, spend from sold s join touch t using (user_id, item_id)
          where s.content_id is null and t.ts <= s.ts and s.ts < t.ts + interval 24 hours
          qualify row_number() over (partition by user_id, item_id, s.ts order by t.ts desc, t.content_id) = 1)
        select user_id, content_id, sum(purchases)::bigint as purchases, sum(spend)::bigint as spend, max(ts) as last_ts
        from (select user_id, content_id, ts, purchases, spend from sold where content_id is not null
          union all from last_touch) group by all""",
    "content": """
        with viewed as (select user_id, content_id, count(*) as views, max(ts) as last_ts from view group by all),
        found as (
          select user_id, content_id, coalesce(views, 0) as views, coalesce(purchases, 0) as purchases,
            coalesce(spend, 0) as spend, greatest(v.last_ts, l.last_ts) as last_ts
          from viewed v full join led l using (user_id, content_id))
        select found.*, kind from found left join contents using (content_id)""",
    "content_tag": """
        select content_id, tag_id, depth, count(*) as tagged, size from shown
        join (select content_id, count(*) as size from shown group by content_id) using (content_id)
        join tag using (item_id) where kind = 'category' group by all""",
}

FAMILIES = {
    "place": (
        ["store_day", "point"],
        """
        with paid as (
          select user_id, coalesce(sum(amount) filter (store_id is not null), 0) / nullif(sum(amount), 0)
            as store_spend_share from events where type = 'purchase' group by user_id),
        hours as (
          select user_id, store_id, arg_max(hour, n * 24 + 23 - hour) as usual_hour
          from (select user_id, store_id, hour, count(*) as n from store_day group by all) group by all),
        store as (
          select user_id, store_id, count(*) as visits, sum(purchases)::bigint as purchases,
            sum(spend)::bigint as spend, max(last_ts) as last_ts from store_day group by all),
        ranked as (
          select *, visits / sum(visits) over (partition by user_id) as share,
            row_number() over (partition by user_id order by visits desc, spend desc, store_id) as place
          from store join hours using (user_id, store_id) left join point using (store_id)),
        far as (
          select r.*, round(2 * 6371008.8 * asin(sqrt(sin((r.latitude - h.latitude) / 2) ** 2
            + cos(r.latitude) * cos(h.latitude) * sin((r.longitude - h.longitude) / 2) ** 2))) as metres
          from ranked r join ranked h on r.user_id = h.user_id and h.place = 1),
        visited as (
          select user_id, sum(visits)::bigint as store_visits, count(*) as stores_visited,
            arg_min(store_id, place) as home_store, max(share) as home_store_share,
            sum(metres * visits) / nullif(1000 * sum(visits) filter (metres is not null), 0) as store_radius_km,
            max(metres) / 1000 as store_reach_km,
            list_transform(list_sort(list({{'place': place, 'store_id': store_id, 'visits': visits, 'share': share,
              'purchases': purchases, 'spend': spend, 'usual_hour': usual_hour, 'last_ts': last_ts}})
              filter (place <= 10)), lambda e: {{'store_id': e.store_id, 'visits': e.visits, 'share': e.share,
              'purchases': e.purchases, 'spend': e.spend, 'usual_hour': e.usual_hour, 'last_ts': e.last_ts}}) as stores
          from far group by user_id),
        usual as (
          select user_id, arg_max(hour, n * 24 + 23 - hour) as usual_store_hour
          from (select user_id, hour, count(*) as n from store_day group by all) group by user_id),
        town as (
          select user_id, city, count(*) as days, max(last_ts) as last_ts,
            row_number() over (partition by user_id order by count(*) desc, city) as place
          from (select user_id, city, (ts at time zone 'Asia/Shanghai')::date as day, max(ts) as last_ts from events
            where city is not null and type not in ('message_sent', 'offer_expire', 'offer_return', 'group_success',
              'group_fail', 'refund', 'order_cancel') group by all) group by user_id, city),
        towns as (
          select user_id, arg_min(city, place) as usual_city, list_transform(list_sort(list({{'place': place,
            'city': city, 'days': days, 'last_ts': last_ts}}) filter (place <= 10)),
            lambda e: {{'city': e.city, 'days': e.days, 'last_ts': e.last_ts}}) as cities
          from town group by user_id)
        select user_id, store_spend_share, coalesce(store_visits, 0) as store_visits,
          coalesce(stores_visited, 0) as stores_visited, home_store, home_store_share, store_radius_km, store_reach_km,
          usual_store_hour, usual_city, stores, cities
        from (select distinct user_id from events) left join paid using (user_id) left join visited using (user_id)
          left join usual using (user_id) left join towns using (user_id)""",
    ),
    "social": (
        ["visit", "trade", "arrival", "friend", "kin"],
        """
        with did as (
          select user_id, count(*) filter (type = 'share') as shared,
            count(*) filter (type = 'share' and ts >= {ts} - interval 720 hours) as shares_30d,
            count(*) filter (type = 'group_open') as groups_opened,
            count(*) filter (type = 'group_join') as groups_joined,
            count(*) filter (type = 'group_success') as groups_succeeded,
            count(*) filter (type = 'group_fail') as groups_failed from events group by user_id),
        friends as (
          select sharer as user_id, count(*) as n, count(*) filter (purchases > 0) as k,
            sum(spend)::bigint as friends_spend, max(last_ts) as last_friend from friend group by sharer),
        kinship as (
          select user_id, max(relative) filter (steps = -1) as brought_by, greatest(-min(steps), 0) as brought_depth,
            count(*) filter (steps = 1) as friends_brought, count(*) filter (steps = 1 and buyer) as buyers_brought,
            count(*) filter (steps > 0) as tree_size, greatest(max(steps), 0) as tree_depth from kin group by user_id),
        wilson as (
          select *, 3.841458820694124 as zz, 1.959963984540054 * sqrt(k * (n - k) / n + zz / 4) as spread,
            greatest((k + zz / 2 - spread) / (n + zz), 0) as low, least((k + zz / 2 + spread) / (n + zz), 1) as high
          from friends)
        select user_id, shares_30d, groups_opened, groups_joined, groups_succeeded, groups_failed,
          coalesce(n, 0) as friends_reached, coalesce(k, 0) as paying_friends,
          coalesce(friends_spend, 0) as friends_spend, last_friend, brought_by,
          coalesce(brought_depth, 0) as brought_depth, coalesce(friends_brought, 0) as friends_brought,
          coalesce(buyers_brought, 0) as buyers_brought, coalesce(tree_size, 0) as tree_size,
          coalesce(tree_depth, 0) as tree_depth, coalesce(n, 0) / nullif(shared, 0) as friends_per_share,
          k / n as friends_paid_share, low as friends_paid_low, high as friends_paid_high,
          coalesce(n * low, 0) as sharer_score
        from did left join wilson using (user_id) left join kinship using (user_id)""",
    ),
    "content": (
        ["trade", "fact", "tag", "name", "shown", "view", "led", "content", "content_tag"],
        """
        with ranked as (
          select *, row_number() over (partition by user_id order by spend desc, views desc, content_id) as place
          from content),
        read as (
          select user_id, count(*) filter (views > 0) as contents_opened, sum(purchases)::bigint as content_purchases,
            sum(spend)::bigint as content_spend, list_transform(list_sort(list({{'place': place,
              'content_id': content_id, 'kind': kind, 'views': views, 'purchases': purchases, 'spend': spend,
              'last_ts': last_ts}}) filter (place <= 20)), lambda e: {{'content_id': e.content_id, 'kind': e.kind,
              'views': e.views, 'purchases': e.purchases, 'spend': e.spend, 'last_ts': e.last_ts}}) as contents
          from ranked group by user_id),
        of_kind as (
          select user_id, kind, sum(views)::bigint as views, sum(purchases)::bigint as purchases,
            sum(spend)::bigint as spend from content where kind is not null group by all),
        kinds as (
          select user_id, arg_min(kind, (-views, kind)) filter (views > 0) as favourite_content_kind,
            list_transform(list_sort(list({{'less': -views, 'kind': kind, 'views': views, 'purchases': purchases,
              'spend': spend}})), lambda e: {{'kind': e.kind, 'views': e.views, 'purchases': e.purchases,
              'spend': e.spend}}) as content_kinds from of_kind group by user_id),
        viewed as (
          select user_id, content_id, count(*) as n, max(ts) as last_ts,
            sum(round(1e9 * pow(0.5, ({now} - epoch_us(ts)) / (60 * 86400000000)))::bigint) as nano
          from view group by all),
        felt as (
          select user_id, tag_id, any_value(depth) as depth, sum(nano * tagged // size)::bigint as strength,
            sum(n)::bigint as events, max(last_ts) as last_ts
          from viewed join content_tag using (content_id) group by user_id, tag_id),
        strong as (
          select *, row_number() over (partition by user_id order by strength desc, tag_id) as place,
            sum(case when depth = 1 then strength else 0 end) over (partition by user_id) as total
          from felt where strength > 0 qualify place <= 20),
        told as (
          select user_id, list_transform(list_sort(list({{'place': place, 'tag': tag, 'weight': strength / total,
            'events': events, 'last_ts': last_ts, 'confidence': strength / (strength + 5e9)}})), lambda e: {{
            'tag': e.tag, 'weight': e.weight, 'events': e.events, 'last_ts': e.last_ts, 'confidence': e.confidence}})
            as content_categories
          from strong join (select tag_id, tag from name) using (tag_id) group by user_id),
        spent as (select user_id, sum(amount) as paid from trade where type = 'purchase' group by user_id)
        select user_id, contents_opened, content_purchases, content_spend, favourite_content_kind,
          content_spend / nullif(paid, 0) as content_spend_share, contents, content_kinds, content_categories
        from read left join kinds using (user_id) left join told using (user_id) left join spent using (user_id)""",
    ),
}
