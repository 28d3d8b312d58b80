{{ candles('mark_candles', traded=false) }}
