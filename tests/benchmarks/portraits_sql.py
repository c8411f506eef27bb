"""The portrait written by hand in DuckDB SQL, for the benchmark: family -> statements, the last one a query.

What a careful analyst would write for DuckDB alone, with its own time zones, `median`, `asof join` and so on. {now} is
T in microseconds, {ts} the same as a literal. `PREPARE` makes the tables that families share, each once.
"""

import portraits_sql_around as around

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
        with rows as (
          select user_id, ts, type, item_id, offer_id, coalesce(order_id, 'at ' || epoch_us(ts)) as order_key,
            coalesce(quantity, 1)::double as quantity, coalesce(amount, 0) as amount, list_amount, discount,
            (ts at time zone 'Asia/Shanghai')::date as day
          from events where type in ('purchase', 'refund', 'order_cancel')),
        void as (select distinct user_id, order_key, item_id from rows where type = 'order_cancel')
        select *, exists (from void v where v.user_id = r.user_id and v.order_key = r.order_key
          and (v.item_id is null or v.item_id = r.item_id)) as cancelled
        from rows r""",
    "fact": """
        with paid as (
          select item_id, sum(amount) / sum(quantity) as paid from trade
          where type = 'purchase' and item_id is not null and quantity > 0 group by item_id),
        both_sides as (
          select coalesce(i.item_id, p.item_id) as item_id, cost, coalesce(category[1], '') as root,
            nullif(array_to_string(category[1:4], ' > '), '') as path, coalesce(price::double, paid) as price
          from items i full join paid p on i.item_id = p.item_id)
        select item_id, cost, root, path, case when price is not null then
          round((rank() over (partition by root, price is null order by price) - 1
           + count(*) over (partition by root, price) / 2) / count(*) over (partition by root, price is null), 9) end
            as level
        from both_sides""",
    "line": """
        select t.*, cost, root, path, level,
          case when payer in ('merchant', 'platform', 'supplier') then payer end as payer,
          case when type = 'purchase' then coalesce(list_amount, amount + discount) end as listed,
          case when type = 'purchase' and (list_amount is not null or discount is not null) then least(greatest(
            coalesce(discount, list_amount - amount), 0), coalesce(list_amount, amount + discount)) end as saved
        from trade t left join fact using (item_id) left join (select offer_id, payer from offers) using (offer_id)""",
    "orders": """
        with whole as (
          select user_id, order_key, min(ts) filter (buy) as ts, min(day) filter (buy) as day,
            sum(amount) filter (buy) as spend, count(*) filter (buy) as lines,
            count(distinct item_id) filter (buy) as items, count(*) filter (buy and cancelled) as void,
            greatest(coalesce(sum(amount) filter (buy and cancelled), 0) - coalesce(sum(amount) filter (
              type = 'refund' and (cancelled or item_id is null)), 0), 0) as undone
          from (select *, type = 'purchase' as buy from trade) group by user_id, order_key)
        from whole where lines > 0""",
    "order_day": """
        select user_id, day, day - lag(day) over (partition by user_id order by day) as gap
        from (select distinct user_id, day from orders)""",
    "tag": """
        with paths as (
          select item_id, 'category' as kind, d as depth, array_to_string(category[1:d], ' > ') as tag
          from items, range(1, 5) r(d) where len(category) >= d
          union all select item_id, 'brand', 1, brand from items where brand is not null
          union all select distinct item_id, 'style', 1, unnest(tags) from items
          union all select item_id, 'price', 1, case when level < 1 / 3 then 'low' when level > 2 / 3 then 'high'
            else 'middle' end from fact where level is not null)
        select item_id, dense_rank() over (order by kind, tag)::int as tag_id, kind, depth, tag from paths""",
    "name": "select distinct tag_id, kind, depth, tag from tag",
    "coupon": """
        with told as (
          select user_id, offer_id, type, ts,
            min(ts) filter (type = 'offer_claim') over (partition by user_id, offer_id) as claimed
          from events where offer_id is not null and type in ('offer_exposure', 'offer_claim', 'offer_redeem'))
        select user_id, offer_id, any_value(kind) as kind, (max(claimed) is not null)::int as taken,
          count(*) filter (type = 'offer_redeem') as redeemed, greatest(count(*) filter (
            type = 'offer_exposure' and (claimed is null or ts <= claimed)), (max(claimed) is not null)::int) as chances
        from told left join (select offer_id, kind from offers) using (offer_id) group by user_id, offer_id""",
}


def _list(entry: str, place: str, kind: str, name: str) -> str:
    """A list of evidence, sorted by place, with the place left out."""
    kept = ["tag", "weight", "events", "last_ts", "confidence"]
    kept += ["shown", "opened", "refunded"] if entry == "refusal" else []
    fields = ", ".join(f"'{field}': e.{field}" for field in kept)
    return (
        f"list_transform(list_sort(list({entry}) filter (kind = '{kind}' and {place} is not null)), "
        f"lambda e: {{{{{fields}}}}}) as {name}"
    )


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
        ["trade", "fact", "line", "orders", "order_day"],
        """
        with ordered as (
          select user_id, count(*) as orders, count(*) filter (ts >= {ts} - interval 720 hours) as orders_30d,
            count(*) filter (ts >= {ts} - interval 2160 hours) as orders_90d, max(spend)::bigint as largest_order,
            avg(items) as basket_items, max(items) as largest_basket,
            count(*) filter (void = lines) as orders_cancelled, sum(undone)::bigint as undone
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
            sum(earned) filter (buy and not cancelled)::bigint as margin,
            sum(earned) filter (buy and not cancelled)
              / nullif(sum(amount) filter (buy and not cancelled and cost is not null), 0) as margin_share,
            min(ts) filter (buy) as first_order, max(ts) filter (buy) as last_order
          from (select *, type = 'purchase' as buy,
            amount - round(cost * round(quantity * 10000) / 10000)::bigint as earned from line) group by user_id),
        rhythm as (
          select user_id, count(*) as order_days, median(gap)::double as order_gap_days
          from order_day group by user_id),
        base as (
          select *, spend - refunded - coalesce(undone, 0) as net_spend, spend / nullif(orders, 0) as order_value,
            lines / nullif(orders, 0) as basket_lines, orders_cancelled / nullif(orders, 0) as cancel_share,
            (refunded + coalesce(undone, 0)) / nullif(spend, 0) as refund_share,
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
            coalesce(orders_90d, 0) as orders_90d, coalesce(order_days, 0) as order_days,
            coalesce(undone, 0) as undone, coalesce(orders_cancelled, 0) as orders_cancelled),
          recency_class::varchar || frequency_class || money_class as rfm,
          case when orders is null then 'visitor' when overdue > 4 then 'asleep' when overdue > 2 then 'slipping'
            when order_days <= 1 then 'new' when order_days >= 4 then 'loyal' else 'active' end as stage
        from late""",
    ),
    "price": (
        ["trade", "fact", "line", "coupon"],
        """
        with used as (
          select user_id, count(*) filter (type = 'offer_exposure') as offers_shown,
            count(*) filter (type = 'offer_claim') as offers_claimed,
            count(*) filter (type = 'offer_redeem') as offers_redeemed from events group by user_id),
        priced as (
          select user_id, quantile_cont(amount / quantity, 0.25) filter (quantity > 0) as unit_price_p25,
            quantile_cont(amount / quantity, 0.5) filter (quantity > 0) as unit_price_median,
            quantile_cont(amount / quantity, 0.75) filter (quantity > 0) as unit_price_p75,
            avg(level) as price_level, sum(saved) / nullif(sum(listed), 0) as discount_share,
            count(*) filter (saved = 0) / nullif(count(listed), 0) as full_price_share,
            max(saved / nullif(listed, 0)) as deepest_discount, count(saved / nullif(listed, 0)) as priced_lines,
            avg(saved / nullif(listed, 0)) as usual_discount, coalesce(sum(saved), 0)::bigint as saved,
            count(offer_id) / count(*) as coupon_share,
            coalesce(sum(saved) filter (payer = 'merchant'), 0) / nullif(sum(saved) filter (payer is not null), 0)
              as merchant_paid_share,
            coalesce(sum(saved) filter (payer = 'platform'), 0) / nullif(sum(saved) filter (payer is not null), 0)
              as platform_paid_share,
            coalesce(sum(saved) filter (payer = 'supplier'), 0) / nullif(sum(saved) filter (payer is not null), 0)
              as supplier_paid_share
          from line where type = 'purchase' group by user_id),
        chanced as (
          select user_id, sum(chances)::bigint as offer_chances, sum(taken)::bigint as offers_taken
          from coupon group by user_id),
        base as (
          select * replace (coalesce(priced_lines, 0) as priced_lines, coalesce(saved, 0) as saved,
              coalesce(offer_chances, 0) as offer_chances, coalesce(offers_taken, 0) as offers_taken)
          from used left join priced using (user_id) left join chanced using (user_id)),
        shop as (
          select coalesce(sum(offers_taken) / nullif(sum(offer_chances), 0), 0) as claims,
            coalesce(sum(usual_discount * priced_lines) / nullif(sum(priced_lines), 0), 0) as depth from base)
        select base.*, least(offers_redeemed / nullif(offers_claimed, 0),
            case when offers_claimed > 0 then 1 end) as redemption_share,
          case when offer_chances + priced_lines > 0 then
            (offers_taken + coalesce(usual_discount * priced_lines, 0) + 2)
            / (offer_chances * claims + priced_lines * depth + 2) end as discount_sensitivity,
          case when price_level is null then null when price_level < 1 / 3 then 'low'
            when price_level > 2 / 3 then 'high' else 'middle' end as price_band
        from base, shop""",
    ),
    "rhythm": (
        ["visit", "trade", "fact", "line", "orders", "order_day"],
        """
        with hours as (
          select user_id, arg_max(hour, n * 24 + 23 - hour) as favourite_hour,
            list_sort(list({{'hour': hour, 'visits': n}})) as hour_counts,
            coalesce(sum(n) filter (hour < 6), 0) / sum(n) as night_share,
            coalesce(sum(n) filter (hour between 6 and 11), 0) / sum(n) as morning_share,
            coalesce(sum(n) filter (hour between 12 and 17), 0) / sum(n) as afternoon_share,
            coalesce(sum(n) filter (hour >= 18), 0) / sum(n) as evening_share
          from (select user_id, hour(clock) as hour, count(*) as n from visit group by all) group by user_id),
        weekdays as (
          select user_id, arg_max(day, n * 8 + 7 - day) as favourite_weekday,
            list_sort(list({{'weekday': day, 'visits': n}})) as weekday_counts,
            coalesce(sum(n) filter (day >= 6), 0) / sum(n) as weekend_share
          from (select user_id, isodow(clock) as day, count(*) as n from visit group by all) group by user_id),
        next_due as (
          select user_id, max(day) as last_order_day, max(day) + ceil(median(gap))::int as due_date
          from order_day group by user_id),
        paid as (
          select user_id, case when d between 5 and 7 then 5 when d between 10 and 12 then 10
              when d between 15 and 17 then 15 when d between 25 and 27 then 25 else 0 end as pay,
            count(*) as k, sum(spend) as money, max(ts) as last_ts
          from (select *, day(day) as d from orders) group by all),
        sure as (
          select *, sum(k) over (partition by user_id) as n, k - n * (3 / 30.4375) as more,
            more * more / (n * (3 / 30.4375) * (1 - 3 / 30.4375)) as z2,
            case when more > 0 then z2 / (1 + z2) else 0 end as confidence,
            money / nullif(sum(money) over (partition by user_id), 0) as share from paid),
        payers as (
          select user_id, arg_max(pay, k * 26 + 25 - pay) filter (pay > 0 and confidence >= 0.95 and k >= 3) as payday,
            coalesce(sum(money) filter (pay > 0), 0) / nullif(sum(money), 0) as payday_share,
            list_transform(list_sort(list({{'less': -k, 'pay': pay, 'share': share, 'last_ts': last_ts,
                'confidence': confidence}}) filter (pay > 0)), lambda e: {{'tag': e.pay::varchar, 'weight': e.share,
              'events': -e.less, 'last_ts': e.last_ts, 'confidence': e.confidence}}) as paydays
          from sure group by user_id),
        bought as (select user_id, path, item_id, day from line where type = 'purchase' and not cancelled),
        things as (
          select distinct user_id, 'category' as kind, path as tag, day from bought where path is not null
          union all select distinct user_id, 'item', item_id, day from bought where item_id is not null),
        gaps as (select *, day - lag(day) over (partition by user_id, kind, tag order by day) as gap from things),
        refill as (
          select user_id, kind, tag, median(gap)::double as gap, count(*) as orders, max(day) as last_day,
            max(day) + ceil(median(gap))::int as due_day,
            ((({ts} at time zone 'Asia/Shanghai')::date - max(day)) / median(gap)) as overdue,
            sum(gap) * sum(gap) / ((count(*) + 1) * sum(gap * gap)) as confidence
          from gaps group by user_id, kind, tag having count(*) >= 2),
        again as (
          select user_id,
            list_transform(list_sort(list({{'less': -orders, 'tag': tag, 'gap_days': gap, 'last_day': last_day,
                'due_day': due_day, 'confidence': confidence}}) filter (kind = 'category'))[:20],
              lambda e: {{'tag': e.tag, 'gap_days': e.gap_days, 'orders': -e.less, 'last_day': e.last_day,
                'due_day': e.due_day, 'confidence': e.confidence}}) as category_rhythm,
            list_transform(list_sort(list({{'less': -orders, 'tag': tag, 'gap_days': gap, 'last_day': last_day,
                'due_day': due_day, 'confidence': confidence}}) filter (kind = 'item'))[:20],
              lambda e: {{'tag': e.tag, 'gap_days': e.gap_days, 'orders': -e.less, 'last_day': e.last_day,
                'due_day': e.due_day, 'confidence': e.confidence}}) as item_rhythm,
            list_transform(list_sort(list({{'less': -overdue, 'kind': kind, 'tag': tag, 'due_day': due_day,
                'confidence': confidence}}) filter (orders >= 3 and overdue <= 3
                  and due_day <= ({ts} at time zone 'Asia/Shanghai')::date))[:20],
              lambda e: {{'tag': e.tag, 'kind': e.kind, 'due_day': e.due_day, 'overdue': -e.less,
                'confidence': e.confidence}}) as due
          from refill group by user_id)
        select * from hours left join weekdays using (user_id) left join next_due using (user_id)
          left join payers using (user_id) left join again using (user_id)""",
    ),
    "entrance": (
        ["visit", "trade"],
        """
        with money as (
          select user_id, ts, amount, 0 as revenue from trade where type = 'purchase'
          union all select user_id, ts, 0, revenue from events where revenue > 0 and type not in ('message_sent',
            'offer_expire', 'offer_return', 'group_success', 'group_fail', 'refund', 'order_cancel')),
        bought as (
          select m.user_id, v.channel, m.amount, m.revenue from money m
          asof join visit v on m.user_id = v.user_id and m.ts >= v.start_ts),
        spent as (
          select user_id, channel, sum(amount)::bigint as spend, sum(revenue)::bigint as revenue
          from bought group by all),
        came as (
          select user_id, channel, count(*) as visits, min(start_ts) as first_ts, max(start_ts) as last_ts
          from visit group by all)
        select user_id, arg_min(channel, first_ts) as first_channel, arg_max(channel, last_ts) as last_channel,
          arg_min(channel, (-visits, channel)) as usual_channel,
          arg_min(channel, (-spend - revenue, channel)) filter (spend + revenue > 0) as best_channel,
          coalesce(sum(visits) filter (channel = 'scan'), 0) / sum(visits) as scan_share,
          coalesce(sum(visits) filter (channel in ('share_chat', 'share_moments')), 0) / sum(visits) as share_share,
          list_transform(list_sort(list({{'fewer': -visits, 'channel': channel, 'visits': visits,
            'spend': coalesce(spend, 0), 'revenue': coalesce(revenue, 0)}})), lambda e: {{'channel': e.channel,
            'visits': e.visits, 'spend': e.spend, 'revenue': e.revenue}}) as channels
        from came left join spent using (user_id, channel) group by user_id""",
    ),
    "taste": (
        ["trade", "fact", "tag", "name"],
        """
        with said as (
          select user_id, item_id, ts, type, round(1e9 * case type when 'share' then 2 when 'cart' then 3
            when 'favorite' then 3 when 'purchase' then 5 when 'cart_remove' then -1 when 'unfavorite' then -3
            when 'refund' then -5 when 'exposure' then 0 else 1 end
            * pow(0.5, ({now} - epoch_us(ts)) / (60 * 86400000000)))::bigint as weight
          from events where item_id is not null and type in ('item_view', 'click', 'share', 'cart', 'favorite',
            'purchase', 'cart_remove', 'unfavorite', 'refund', 'exposure')),
        thing as (
          select user_id, item_id, sum(weight)::bigint as strength, count(*) filter (weight > 0) as n,
            max(ts) filter (type <> 'exposure') as last_ts, count(*) filter (type = 'exposure') as shown,
            count(*) filter (type = 'click') as clicked, count(*) filter (type = 'item_view') as viewed,
            count(*) filter (type = 'purchase') as bought, count(*) filter (type = 'refund') as refunded,
            max(ts) filter (type in ('exposure', 'refund')) as last_no
          from said group by user_id, item_id),
        felt as (
          select user_id, tag_id, sum(strength)::bigint as strength, sum(n)::bigint as events, max(last_ts) as last_ts,
            sum(shown)::bigint as shown, sum(clicked)::bigint as clicked,
            sum(greatest(clicked, viewed))::bigint as opened, sum(bought)::bigint as bought,
            sum(refunded)::bigint as refunded, max(last_no) as last_no
          from thing join (select item_id, tag_id from tag) using (item_id) group by user_id, tag_id),
        judged as (
          select *, strength > 0 as liked, shown >= 5 and events = 0 as passed,
            refunded >= 2 and 2 * refunded >= bought as back,
            sum(case when depth = 1 and strength > 0 then strength else 0 end) over kinds as total,
            sum(case when depth = 1 then shown else 0 end) over kinds as all_shown,
            sum(case when depth = 1 then clicked else 0 end) over kinds as all_clicked
          from felt join (select tag_id, kind, depth from name) using (tag_id)
          window kinds as (partition by user_id, kind)),
        ranked as (
          select *, case when liked then row_number() over (partition by user_id, kind, liked
              order by strength desc, tag_id) end as place,
            case when passed or back then row_number() over (partition by user_id, kind, passed or back
              order by shown + 5 * refunded desc, tag_id) end as worst
          from judged where liked or passed or back
          qualify (liked and place <= 20) or ((passed or back) and worst <= 20)),
        told as (
          select user_id, kind, depth, case when place <= 20 then place end as place,
            case when worst <= 20 then worst end as worst, tag,
            {{'place': place, 'tag': tag, 'weight': strength / nullif(total, 0), 'events': events,
              'last_ts': last_ts, 'confidence': strength / (strength + 5e9)}} as entry,
            {{'worst': worst, 'tag': tag, 'weight': case when passed then 1
                else least(refunded / greatest(bought, 1), 1) end, 'events': shown + refunded, 'last_ts': last_no,
              'confidence': greatest(case when passed then
                1 - pow(1 - (least(all_clicked, all_shown) + 1) / (all_shown + 2), shown) else 0 end,
                case when back then refunded / (refunded + 1) else 0 end),
              'shown': shown, 'opened': opened, 'refunded': refunded}} as refusal
          from ranked join (select tag_id, tag from name) using (tag_id))
        select user_id, LIKED_categories, LIKED_brands, LIKED_styles, LIKED_price_tastes, AVOIDED_categories,
          AVOIDED_brands, arg_min(tag, place) filter (kind = 'category' and depth = 1 and place is not null)
            as top_category,
          arg_min(tag, place) filter (kind = 'category' and depth > 1 and place is not null) as top_subcategory,
          arg_min(tag, place) filter (kind = 'brand' and place is not null) as top_brand
        from told group by user_id""",
    ),
    "membership": (
        ["coupon"],
        """
        with counted as (
          select user_id, coalesce(sum(points) filter (points > 0), 0)::bigint as points_earned,
            -coalesce(sum(points) filter (points < 0), 0)::bigint as points_spent,
            count(*) filter (type = 'message_sent') as messages_sent,
            count(*) filter (type = 'message_open') as messages_opened from events group by user_id),
        used as (select user_id, sum(redeemed) filter (kind = 'member')::bigint as used from coupon group by user_id),
        moved as (
          select user_id, ts, case type when 'subscribe' then 0 when 'message_sent' then 1 else 2 end as place
          from events where type in ('subscribe', 'message_sent', 'unsubscribe')),
        since as (
          select user_id, place, sum(1 - 2 * place) over (partition by user_id order by ts, place
            rows unbounded preceding) as held
          from moved anti join (select user_id, max(ts) as ended from moved where place = 2 group by user_id) e
            on moved.user_id = e.user_id and moved.ts <= e.ended),
        permitted as (
          select user_id, sum(1 - 2 * place) - least(min(held), 0) as permitted from since group by user_id)
        select c.*, member_tier, coalesce(used, 0) as benefits_used, points as points_held,
          case when joined_at < {ts} then ({now} - epoch_us(joined_at)) // 86400000000 end as member_days,
          coalesce(permitted, 0)::bigint as permissions_left, least(messages_opened / nullif(messages_sent, 0),
            case when messages_sent > 0 then 1 end) as message_open_share
        from counted c left join used using (user_id) left join permitted using (user_id)
          left join users using (user_id)""",
    ),
}

FAMILIES["taste"] = (
    FAMILIES["taste"][0],
    FAMILIES["taste"][1]
    .replace("LIKED_categories", _list("entry", "place", "category", "categories"))
    .replace("LIKED_brands", _list("entry", "place", "brand", "brands"))
    .replace("LIKED_styles", _list("entry", "place", "style", "styles"))
    .replace("LIKED_price_tastes", _list("entry", "place", "price", "price_tastes"))
    .replace("AVOIDED_categories", _list("refusal", "worst", "category", "avoided_categories"))
    .replace("AVOIDED_brands", _list("refusal", "worst", "brand", "avoided_brands")),
)
PREPARE |= around.PREPARE
FAMILIES |= around.FAMILIES
