{#- Milliseconds UTC and timestamps, in the words of each database. -#}

{% macro moment(ms) %}{{ return(adapter.dispatch('moment')(ms)) }}{% endmacro %}

{% macro default__moment(ms) %}make_timestamp(({{ ms }}) * 1000){% endmacro %}

{% macro postgres__moment(ms) %}(timestamp '1970-01-01' + ({{ ms }}) * interval '1 millisecond'){% endmacro %}


{% macro ms(moment) %}{{ return(adapter.dispatch('ms')(moment)) }}{% endmacro %}

{% macro default__ms(moment) %}epoch_ms({{ moment }}){% endmacro %}

{% macro postgres__ms(moment) %}cast(extract(epoch from {{ moment }}) * 1000 as bigint){% endmacro %}


{#- One row per month, from that of `first` to that of `last`. -#}
{% macro months(first, last) %}{{ return(adapter.dispatch('months')(first, last)) }}{% endmacro %}

{% macro default__months(first, last) %}
unnest(generate_series(date_trunc('month', {{ first }}), {{ last }}, interval '1 month'))
{% endmacro %}

{% macro postgres__months(first, last) %}
generate_series(date_trunc('month', {{ first }}), {{ last }}, interval '1 month')
{% endmacro %}


{#- One row per whole number from `first` to `last`, both included, `step` apart. -#}
{% macro steps(first, last, step) %}{{ return(adapter.dispatch('steps')(first, last, step)) }}{% endmacro %}

{% macro default__steps(first, last, step) %}unnest(generate_series({{ first }}, {{ last }}, {{ step }})){% endmacro %}

{% macro postgres__steps(first, last, step) %}generate_series({{ first }}, {{ last }}, {{ step }}){% endmacro %}
