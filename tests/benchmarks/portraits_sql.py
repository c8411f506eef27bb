"""The portrait written by hand in DuckDB SQL, for the benchmark: family -> statements, the last one a query.

What a careful analyst would write for DuckDB alone, with its own time zones, `median`, `asof join` and so on. {now} is
T in microseconds, {ts} the same as a literal. `PREPARE` makes the tables that families share, each once.
"""

PREPARE = {
    "touched": """
        select distinct user_id from lake where coalesce(platform, 'wechat') = 'wechat'
        and scene in ('1017', '1030', '1059', '1101', '1129', '1203')""",
    "mixed": """
        with numbered as (
          select *, epoch_us(ts) - epoch_us(lag(ts) over w) as silence, row_number() over w as n
          from lake semi join touched using (user_id)
          window w as (partition by user_id order by ts, type <> 'launch', coalesce(scene, ''))),
        marked as (
          select *, last_value(case when type = 'launch' or silence is null or silence > 1800000000
            then coalesce(scene, '') end ignore nulls)
            over (partition by user_id order by n rows between unbounded preceding and 1 preceding) as previous
          from numbered),
        cut as (
          select *, sum(case when silence is null or silence > 1800000000 or (type = 'launch' and scene <> ''
            and previous <> '' and scene <> previous) then 1 else 0 end)
            over (partition by user_id order by n rows unbounded preceding) as session
          from marked)
        select * exclude (silence, n, previous, session) from cut
        qualify not bool_or(coalesce(coalesce(platform, 'wechat') = 'wechat'
          and scene in ('1017', '1030', '1059', '1101', '1129', '1203'), false))
          over (partition by user_id, session)""",
    "visit": """
        with own as (
          select user_id, ts, type = 'launch' as launch, coalesce(platform, '') as platform,
            coalesce(scene, '') as scene
          from events where type not in ('message_sent', 'offer_expire', 'offer_return', 'group_success',
            'group_fail', 'refund', 'order_cancel')),
        numbered as (
          select *, lag(ts) over w as prior, row_number() over w as n from own
          window w as (partition by user_id order by ts, not launch, scene)),
        few as (
          select *, prior is null or epoch_us(ts) - epoch_us(prior) > 1800000000 as silent from numbered
          where launch or prior is null or epoch_us(ts) - epoch_us(prior) > 1800000000),
        compared as (select *, lag(scene, 1, '') over (partition by user_id order by n) as previous from few),
        starts as (
          select * from compared
          where silent or (launch and scene <> '' and previous <> '' and scene <> previous)),
        whole as (select user_id, max(ts) as last_ts, count(*) as many from own group by user_id)
        select s.user_id, s.ts as start_ts, c.channel, (s.ts at time zone 'Asia/Shanghai') as clock,
          coalesce(lead(s.prior) over w, last_ts) as end_ts, coalesce(lead(s.n) over w, many + 1) - s.n as events
        from starts s join whole using (user_id) left join channel c using (platform, scene)
        window w as (partition by s.user_id order by s.n)""",
    "trade": """
        select user_id, ts, type, item_id, coalesce(order_id, 'at ' || epoch_us(ts)) as order_key,
          coalesce(quantity, 1)::double as quantity, coalesce(amount, 0) as amount, list_amount, discount,
          (ts at time zone 'Asia/Shanghai')::date as day
        from events where type in ('purchase', 'refund', 'order_cancel')""",
    "fact": """
        with paid as (
          select item_id, sum(amount) / sum(quantity) as paid from trade
          where type = 'purchase' and item_id is not null and quantity > 0 group by item_id),
        both_sides as (
          select coalesce(i.item_id, p.item_id) as item_id, cost, coalesce(category[1], '') as root,
            coalesce(price::double, paid) as price
          from items i full join paid p on i.item_id = p.item_id)
        select item_id, cost, root, case when price is not null then
          round((rank() over (partition by root, price is null order by price) - 1
           + count(*) over (partition by root, price) / 2) / count(*) over (partition by root, price is null), 6) end
            as level
        from both_sides""",
    "orders": """
        select user_id, order_key, min(ts) as ts, min(day) as day, sum(amount) as spend, count(*) as lines
        from trade where type = 'purchase' group by user_id, order_key""",
    "order_day": """
        select user_id, day, day - lag(day) over (partition by user_id order by day) as gap
        from (select distinct user_id, day from orders)""",
    "tag": """
        with paths as (
          select item_id, 'category' as kind, d as depth, array_to_string(category[1:d], ' > ') as tag
          from items, range(1, 5) r(d) where len(category) >= d
          union all select item_id, 'brand', 1, brand from items where brand is not null)
        select item_id, dense_rank() over (order by kind, tag)::int as tag_id, kind, depth, tag from paths""",
    "name": "select distinct tag_id, kind, depth, tag from tag",
}

FAMILIES = {
    "visits": (
        ["visit", "trade", "orders"],
        """
        with seen as (
          select user_id, min(ts) filter (own) as first_seen, max(ts) filter (own) as last_seen,
            count(*) filter (own) as actions, count(*) filter (own and ts >= {ts} - interval 720 hours) as actions_30d,
            count(*) filter (type = 'page_view') as page_views, count(*) filter (type = 'item_view') as item_views,
            count(*) filter (type = 'item_view' and ts >= {ts} - interval 720 hours) as item_views_30d,
            count(*) filter (type = 'content_view') as content_views, count(*) filter (type = 'search') as searches,
            count(*) filter (type = 'cart') as carts, count(*) filter (type = 'favorite') as favorites,
            count(*) filter (type = 'share') as shares, count(*) filter (type in ('click', 'ad_click')) as clicks,
            coalesce(sum(revenue), 0)::bigint as revenue, coalesce(sum(duration_ms), 0) / 1000 as page_seconds
          from (select *, type not in ('message_sent', 'offer_expire', 'offer_return', 'group_success', 'group_fail',
            'refund', 'order_cancel') as own from events) group by user_id),
        came as (
          select user_id, count(*) as visits, count(*) filter (start_ts >= {ts} - interval 720 hours) as visits_30d,
            sum(epoch_us(end_ts) - epoch_us(start_ts)) / 1e6 as dwell_seconds,
            count(*) filter (events = 1) / count(*) as bounce_share from visit group by user_id),
        days as (
          select user_id, count(*) as active_days,
            count(*) filter (day >= ({ts} at time zone 'Asia/Shanghai')::date - 30) as active_days_30d
          from (select distinct user_id, clock::date as day from visit) group by user_id),
        bought as (select user_id, count(*) as orders from orders group by user_id)
        select seen.*, coalesce(visits, 0) as visits, coalesce(visits_30d, 0) as visits_30d,
          coalesce(dwell_seconds, 0) as dwell_seconds, bounce_share, coalesce(active_days, 0) as active_days,
          coalesce(active_days_30d, 0) as active_days_30d,
          (({now} - epoch_us(last_seen)) // 86400000000) as days_since_seen,
          case when orders > 0 then 'bought' when carts + favorites > 0 then 'carted' when item_views > 0 then 'viewed'
            else 'seen' end as funnel_depth
        from seen left join came using (user_id) left join days using (user_id) left join bought using (user_id)""",
    ),
    "purchases": (
        ["trade", "fact", "orders", "order_day"],
        """
        with ordered as (
          select user_id, count(*) as orders, count(*) filter (ts >= {ts} - interval 720 hours) as orders_30d,
            count(*) filter (ts >= {ts} - interval 2160 hours) as orders_90d, max(spend)::bigint as largest_order
          from orders group by user_id),
        lined as (
          select user_id, count(*) filter (buy) as lines, coalesce(sum(quantity) filter (buy), 0) as units,
            count(distinct item_id) filter (buy) as items_bought,
            count(distinct nullif(root, '')) filter (buy) as categories_bought,
            coalesce(sum(amount) filter (buy), 0)::bigint as spend,
            coalesce(sum(amount) filter (buy and ts >= {ts} - interval 720 hours), 0)::bigint as spend_30d,
            coalesce(sum(amount) filter (buy and ts >= {ts} - interval 2160 hours), 0)::bigint as spend_90d,
            count(*) filter (type = 'refund') as refunds,
            coalesce(sum(amount) filter (type = 'refund'), 0)::bigint as refunded,
            sum(amount - round(cost * round(quantity * 10000) / 10000)::bigint) filter (buy)::bigint as margin,
            min(ts) filter (buy) as first_order, max(ts) filter (buy) as last_order
          from (select *, type = 'purchase' as buy from trade left join fact using (item_id)) group by user_id),
        rhythm as (
          select user_id, count(*) as order_days, median(gap)::double as order_gap_days
          from order_day group by user_id),
        base as (
          select *, spend - refunded as net_spend, spend / nullif(orders, 0) as order_value,
            refunded / nullif(spend, 0) as refund_share,
            ({now} - epoch_us(last_order)) // 86400000000 as recency_days
          from lined left join ordered using (user_id) left join rhythm using (user_id)),
        ranked as (
          select user_id, ceil(5 * (2 * (rank() over (order by -recency_days) - 1)
              + count(*) over (partition by recency_days)) / (2 * count(*) over ()))::bigint as recency_class,
            ceil(5 * (2 * (rank() over (order by orders) - 1) + count(*) over (partition by orders))
              / (2 * count(*) over ()))::bigint as frequency_class,
            ceil(5 * (2 * (rank() over (order by net_spend) - 1) + count(*) over (partition by net_spend))
              / (2 * count(*) over ()))::bigint as money_class
          from base where orders > 0),
        placed as (
          select base.*, recency_class, frequency_class, money_class,
            case when orders > 0 then coalesce(order_gap_days, (select median(order_gap_days) from rhythm), 30.0) end
              as expected_gap_days
          from base left join ranked using (user_id)),
        late as (select *, recency_days / expected_gap_days as overdue from placed)
        select * replace (coalesce(orders, 0) as orders, coalesce(orders_30d, 0) as orders_30d,
            coalesce(orders_90d, 0) as orders_90d, coalesce(order_days, 0) as order_days),
          recency_class::varchar || frequency_class || money_class as rfm,
          case when orders is null then 'visitor' when overdue > 4 then 'asleep' when overdue > 2 then 'slipping'
            when order_days <= 1 then 'new' when order_days >= 4 then 'loyal' else 'active' end as stage
        from late""",
    ),
    "price": (
        ["trade", "fact"],
        """
        with used as (
          select user_id, count(*) filter (type = 'offer_claim') as offers_claimed,
            count(*) filter (type = 'offer_redeem') as offers_redeemed from events group by user_id),
        line as (
          select user_id, quantity, amount, level,
            coalesce(list_amount, amount + discount) as listed,
            case when list_amount is not null or discount is not null then least(greatest(
              coalesce(discount, list_amount - amount), 0), coalesce(list_amount, amount + discount)) end as saved
          from trade left join fact using (item_id) where type = 'purchase'),
        priced as (
          select user_id, quantile_cont(amount / quantity, 0.25) filter (quantity > 0) as unit_price_p25,
            quantile_cont(amount / quantity, 0.5) filter (quantity > 0) as unit_price_median,
            quantile_cont(amount / quantity, 0.75) filter (quantity > 0) as unit_price_p75,
            avg(level) as price_level, sum(saved) / nullif(sum(listed), 0) as discount_share,
            count(*) filter (saved = 0) / nullif(count(listed), 0) as full_price_share,
            max(saved / nullif(listed, 0)) as deepest_discount
          from line group by user_id)
        select *, case when price_level is null then null when price_level < 1 / 3 then 'low'
          when price_level > 2 / 3 then 'high' else 'middle' end as price_band
        from used left join priced using (user_id)""",
    ),
    "rhythm": (
        ["visit", "trade", "orders", "order_day"],
        """
        with hours as (
          select user_id, arg_max(hour, n * 24 + 23 - hour) as favourite_hour
          from (select user_id, hour(clock) as hour, count(*) as n from visit group by all) group by user_id),
        weekdays as (
          select user_id, arg_max(day, n * 8 + 7 - day) as favourite_weekday,
            coalesce(sum(n) filter (day >= 6), 0) / sum(n) as weekend_share
          from (select user_id, isodow(clock) as day, count(*) as n from visit group by all) group by user_id),
        due as (
          select user_id, max(day) as last_order_day, max(day) + ceil(median(gap))::int as due_date
          from order_day group by user_id)
        select * from hours left join weekdays using (user_id) left join due using (user_id)""",
    ),
    "entrance": (
        ["visit", "trade"],
        """
        with bought as (
          select t.user_id, v.channel, t.amount from (select user_id, ts, amount from trade where type = 'purchase') t
          asof join visit v on t.user_id = v.user_id and t.ts >= v.start_ts),
        spent as (select user_id, channel, sum(amount)::bigint as spend from bought group by all),
        came as (
          select user_id, channel, count(*) as visits, min(start_ts) as first_ts, max(start_ts) as last_ts
          from visit group by all)
        select user_id, arg_min(channel, first_ts) as first_channel, arg_max(channel, last_ts) as last_channel,
          arg_min(channel, (-visits, channel)) as usual_channel,
          arg_min(channel, (-spend, channel)) filter (spend > 0) as best_channel,
          coalesce(sum(visits) filter (channel = 'scan'), 0) / sum(visits) as scan_share,
          coalesce(sum(visits) filter (channel in ('share_chat', 'share_moments')), 0) / sum(visits) as share_share,
          list_transform(list_sort(list({{'fewer': -visits, 'channel': channel, 'visits': visits,
            'spend': coalesce(spend, 0)}})), lambda e: {{'channel': e.channel, 'visits': e.visits, 'spend': e.spend}})
            as channels
        from came left join spent using (user_id, channel) group by user_id""",
    ),
    "taste": (
        ["tag", "name"],
        """
        with said as (
          select user_id, item_id, ts, round(1e9 * case type when 'share' then 2 when 'cart' then 3
            when 'favorite' then 3 when 'purchase' then 5 when 'cart_remove' then -1 when 'unfavorite' then -3
            when 'refund' then -5 else 1 end * pow(0.5, ({now} - epoch_us(ts)) / (60 * 86400000000)))::bigint as weight
          from events where item_id is not null and type in ('item_view', 'click', 'share', 'cart', 'favorite',
            'purchase', 'cart_remove', 'unfavorite', 'refund')),
        felt as (
          select user_id, tag_id, sum(weight)::bigint as strength, count(*) filter (weight > 0) as events,
            max(ts) as last_ts
          from said join (select item_id, tag_id from tag) using (item_id) group by user_id, tag_id),
        ranked as (
          select user_id, tag_id, kind, depth, strength, events, last_ts,
            row_number() over (partition by user_id, kind order by strength desc, tag_id) as place,
            sum(case when depth = 1 then strength else 0 end) over (partition by user_id, kind) as total
          from felt join (select tag_id, kind, depth from name) using (tag_id) where strength > 0
          qualify place <= 20),
        told as (
          select user_id, kind, depth, place, tag, {{'place': place, 'tag': tag, 'weight': strength / nullif(total, 0),
            'events': events, 'last_ts': last_ts, 'confidence': strength / (strength + 5e9)}} as entry
          from ranked join (select tag_id, tag from name) using (tag_id))
        select user_id, list_transform(list_sort(list(entry) filter (kind = 'category')), lambda e: {{'tag': e.tag,
            'weight': e.weight, 'events': e.events, 'last_ts': e.last_ts, 'confidence': e.confidence}}) as categories,
          list_transform(list_sort(list(entry) filter (kind = 'brand')), lambda e: {{'tag': e.tag,
            'weight': e.weight, 'events': e.events, 'last_ts': e.last_ts, 'confidence': e.confidence}}) as brands,
          arg_min(tag, place) filter (kind = 'category' and depth = 1) as top_category,
          arg_min(tag, place) filter (kind = 'category' and depth > 1) as top_subcategory,
          arg_min(tag, place) filter (kind = 'brand') as top_brand
        from told group by user_id""",
    ),
}
