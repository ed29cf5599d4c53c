select 1; ; -- x
;select ';'; $$;$$