{%- set gridded = dict() -%}
{%- for name, table in var('tables').items() if table.step_ms > 0 -%}
{%- do gridded.update({name: table}) -%}
{%- endfor -%}
-- Rows that are there against rows that should be, from each series' first row to what could be known when the symbol's
-- last candle closed. The grid is that of the table's description. Where not every point of it is due (funding, daily
-- series), one row is expected each usual step: the 10 % shortest gap between neighbours, no longer than the silence
-- after which the series counts as stale. An event counts for the point of the grid that it is nearest to. What is missing
-- and was accepted by a person, or is a candle that the exchange left out while nothing traded (`silent_bars` in
-- universe.yaml), is excused and not expected, as in the checks of the ingest.
with points as (
    {% for name, table in gridded.items() %}
    select distinct
        cast('{{ name }}' as text) as series,
        symbol,
        {{ whole('event_time_ms + ' ~ table.step_ms // 2, table.step_ms) }} * {{ table.step_ms }} as point_ms
    from {{ source('market', name) }}
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

described (series, dense, grid_ms, longest_step_ms, known_after_ms, silent_bars) as (
    values
    {% for name, table in gridded.items() %}
    {% set longest = [table.silence_ms // table.step_ms, 1] | max * table.step_ms %}
    ('{{ name }}', {{ table.dense | lower }}, cast({{ table.step_ms }} as bigint), cast({{ longest }} as bigint), cast({{ [table.lag_ms, table.period_ms] | max }} as bigint), {{ table.silent_bars }}){{ ',' if not loop.last }}
    {% endfor %}
),

accepted (series, symbol, start_ms, end_ms) as (
    {% for one in var('accepted') -%}
    select cast('{{ one.table }}' as text), cast('{{ one.symbol }}' as text), cast({{ one.start_ms }} as bigint), cast({{ one.end_ms }} as bigint)
    union all
    {% endfor -%}
    select cast(null as text), cast(null as text), cast(null as bigint), cast(null as bigint) where false
),

closes as (
    select symbol, max(point_ms) + {{ raw_table('candles').period_ms }} as last_close_ms
    from points
    where series = 'candles'
    group by symbol
),

gaps as (
    select
        points.series,
        points.symbol,
        dense,
        grid_ms,
        silent_bars,
        point_ms,
        point_ms - lag(point_ms) over (partition by points.series, points.symbol order by point_ms) as gap_ms
    from points
    inner join described on described.series = points.series
),

usual as (
    select series, symbol, percentile_disc(0.1) within group (order by gap_ms) as gap_ms
    from gaps
    where not dense
    group by series, symbol
),

spans as (
    select series, symbol, min(point_ms) as first_ms, max(point_ms) as last_ms
    from points
    group by series, symbol
),

grids as (
    select
        spans.series,
        spans.symbol,
        first_ms,
        case when dense then grid_ms else least(coalesce(gap_ms, longest_step_ms), longest_step_ms) end as step_ms,
        greatest(last_ms + 1, coalesce(last_close_ms, 0) - known_after_ms + 1) as until_ms
    from spans
    inner join described on described.series = spans.series
    left join usual on usual.series = spans.series and usual.symbol = spans.symbol
    left join closes on closes.symbol = spans.symbol
),

accepted_steps as (
    select
        grids.series,
        grids.symbol,
        first_ms,
        step_ms,
        {{ steps(
            whole_up('greatest(start_ms - first_ms, 0)', 'step_ms'),
            whole_up('greatest(least(end_ms, until_ms) - first_ms, 0)', 'step_ms') ~ ' - 1',
            '1',
        ) }} as step
    from grids
    inner join accepted on accepted.series = grids.series and accepted.symbol = grids.symbol
),

found_steps as (
    select distinct
        points.series,
        points.symbol,
        {{ whole('point_ms - first_ms + ' ~ whole('step_ms', 2), 'step_ms') }} as step
    from points
    inner join grids on grids.series = points.series and grids.symbol = points.symbol
),

lost_points as (
    select accepted_steps.series, accepted_steps.symbol, first_ms + accepted_steps.step * step_ms as point_ms
    from accepted_steps
    left join found_steps
        on found_steps.series = accepted_steps.series
        and found_steps.symbol = accepted_steps.symbol
        and found_steps.step = accepted_steps.step
    where found_steps.step is null

    union

    select series, symbol, {{ steps('point_ms - gap_ms + grid_ms', 'point_ms - grid_ms', 'grid_ms') }} as point_ms
    from gaps
    where dense and gap_ms > grid_ms and gap_ms <= (silent_bars + 1) * grid_ms
),

excused as (
    select series, symbol, date_trunc('month', {{ moment('point_ms') }}) as month, count(*) as rows_excused
    from lost_points
    group by series, symbol, date_trunc('month', {{ moment('point_ms') }})
),

calendar as (
    select
        *,
        {{ months(moment('first_ms'), moment('until_ms - 1')) }} as month
    from grids
),

bounded as (
    select
        *,
        greatest({{ ms('month') }}, first_ms) as from_ms,
        least({{ ms("(month + interval '1 month')") }}, until_ms) as to_ms
    from calendar
),

found as (
    select series, symbol, date_trunc('month', {{ moment('point_ms') }}) as month, count(*) as rows_found
    from points
    group by series, symbol, date_trunc('month', {{ moment('point_ms') }})
),

counted as (
    select
        bounded.series,
        bounded.symbol,
        cast(bounded.month as date) as month,
        coalesce(rows_found, 0) as rows_found,
        {{ whole_up('to_ms - first_ms', 'step_ms') }} - {{ whole_up('from_ms - first_ms', 'step_ms') }} - coalesce(rows_excused, 0) as rows_expected,
        coalesce(rows_excused, 0) as rows_excused,
        {{ whole('step_ms', 60000) }} as step_minutes
    from bounded
    left join found
        on found.series = bounded.series and found.symbol = bounded.symbol and found.month = bounded.month
    left join excused
        on excused.series = bounded.series and excused.symbol = bounded.symbol and excused.month = bounded.month
)

select
    series,
    symbol,
    month,
    rows_found,
    rows_expected,
    rows_excused,
    step_minutes,
    case
        when rows_expected = 0 and rows_excused > 0 then 1.0
        else cast(rows_found as double precision) / greatest(rows_expected, 1)
    end as coverage
from counted
where rows_found > 0 or rows_expected > 0 or rows_excused > 0
order by series, symbol, month
