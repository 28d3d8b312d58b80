{#- Division of whole numbers that drops the remainder. -#}
{% macro whole(dividend, divisor) %}{{ return(adapter.dispatch('whole')(dividend, divisor)) }}{% endmacro %}

{% macro default__whole(dividend, divisor) %}(({{ dividend }}) // ({{ divisor }})){% endmacro %}

{% macro postgres__whole(dividend, divisor) %}(({{ dividend }}) / ({{ divisor }})){% endmacro %}


{#- The same rounded up, of numbers that are not negative. -#}
{% macro whole_up(dividend, divisor) %}{{ whole(dividend ~ ' + ' ~ divisor ~ ' - 1', divisor) }}{% endmacro %}


{#- The value below which a share of the values lies, between neighbours; nothing where there is none. -#}
{% macro percentile(column, share) %}percentile_cont({{ share }}) within group (order by {{ column }}){% endmacro %}


{#- A value that a source may not have: nothing, never "not a number". -#}
{% macro number(column) %}nullif({{ column }}, cast('NaN' as double precision)) as {{ column }}{% endmacro %}
