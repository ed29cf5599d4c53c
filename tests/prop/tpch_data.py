"""Tables of TPC-H's schema, drawn from hashes, small, and such that each of its 22 queries finds rows. (The real generator is
what the benchmark uses; a test needs no download.)"""

NATIONS = ["ALGERIA 0", "ARGENTINA 1", "BRAZIL 1", "CANADA 1", "EGYPT 4", "ETHIOPIA 0", "FRANCE 3", "GERMANY 3", "INDIA 2", "INDONESIA 2",
           "IRAN 4", "IRAQ 4", "JAPAN 2", "JORDAN 4", "KENYA 0", "MOROCCO 0", "MOZAMBIQUE 0", "PERU 1", "CHINA 2", "ROMANIA 3",
           "SAUDI_ARABIA 4", "VIETNAM 2", "RUSSIA 3", "UNITED_KINGDOM 3", "UNITED_STATES 1"]
REGIONS = ["AFRICA", "AMERICA", "ASIA", "EUROPE", "MIDDLE EAST"]
COLOURS = ["almond", "blue", "forest", "green", "ivory", "lemon", "navy", "red", "snow", "tan"]
TYPES = (["STANDARD", "SMALL", "MEDIUM", "LARGE", "ECONOMY", "PROMO"], ["ANODIZED", "BURNISHED", "PLATED", "POLISHED", "BRUSHED"],
         ["TIN", "NICKEL", "BRASS", "STEEL", "COPPER"])
CONTAINERS = (["SM", "LG", "MED", "JUMBO", "WRAP"], ["CASE", "BOX", "BAG", "JAR", "PKG", "PACK", "CAN", "DRUM"])
CELLS = {"lineitem": 7, "orders": 5, "customer": 3, "part": 3, "partsupp": 3}


def pick(words, number, salt):
    items = ", ".join(f"'{word}'" for word in words)
    return f"([{items}])[1 + {roll(number, salt, len(words))}]"


def roll(number, salt, sides):
    """An integer in [0, sides) by the row's number."""
    return f"CAST(hash({number} * 64 + {salt}) % {sides} AS INTEGER)"


def tables(scale):
    """name: (rows, SELECT of them from r(n))"""
    suppliers, parts, customers, orders = (int(scale * n) for n in (10000, 200000, 150000, 1500000))
    nations = ", ".join(f"'{line.split()[0].replace('_', ' ')}'" for line in NATIONS)
    homes = ", ".join(line.split()[1] for line in NATIONS)
    regions = ", ".join(f"'{name}'" for name in REGIONS)
    money = "CAST({} AS DECIMAL(15,2))".format
    phone = f"(10 + {roll('n', 1, 25)}) || '-' || (100 + {roll('n', 2, 900)}) || '-' || (1000 + {roll('n', 3, 9000)})"
    day = f"(DATE '1992-01-01' + {roll('o', 5, 2405)})"
    line_day = f"({day} + 1 + {roll('n', 20, 121)})"
    brand = f"'Brand#' || (1 + {roll('n', 3, 5)}) || (1 + {roll('n', 4, 5)})"
    return {
        "region": (5, f"SELECT CAST(n AS BIGINT) AS r_regionkey, ([{regions}])[n + 1] AS r_name, 'x' AS r_comment"),
        "nation": (25, f"SELECT CAST(n AS BIGINT) AS n_nationkey, ([{nations}])[n + 1] AS n_name, CAST(([{homes}])[n + 1] AS BIGINT) AS n_regionkey, 'x' AS n_comment"),
        "supplier": (suppliers, f"""SELECT n + 1 AS s_suppkey, 'Supplier#' || n AS s_name, 'street ' || n AS s_address, CAST({roll('n', 1, 25)} AS BIGINT) AS s_nationkey,
            {phone} AS s_phone, {money(roll('n', 4, 1000000) + ' / 100.0 - 999')} AS s_acctbal,
            CASE WHEN n % 9 = 4 THEN 'see Customer and Complaints' ELSE 'fine' END AS s_comment"""),
        "part": (parts, f"""SELECT n + 1 AS p_partkey, {pick(COLOURS, 'n', 1)} || ' ' || {pick(COLOURS, 'n', 2)} AS p_name, 'Manufacturer#' || (1 + {roll('n', 3, 5)}) AS p_mfgr,
            {brand} AS p_brand, {pick(TYPES[0], 'n', 5)} || ' ' || {pick(TYPES[1], 'n', 6)} || ' ' || {pick(TYPES[2], 'n', 7)} AS p_type,
            1 + {roll('n', 8, 50)} AS p_size, {pick(CONTAINERS[0], 'n', 9)} || ' ' || {pick(CONTAINERS[1], 'n', 10)} AS p_container,
            {money('900 + n % 1000 / 10.0')} AS p_retailprice, 'x' AS p_comment"""),
        "partsupp": (parts * 4, f"""SELECT n // 4 + 1 AS ps_partkey, (n // 4 + n % 4 * {max(1, suppliers // 4)}) % {suppliers} + 1 AS ps_suppkey,
            1 + {roll('n', 1, 9999)} AS ps_availqty, {money('1 + ' + roll('n', 2, 99900) + ' / 100.0')} AS ps_supplycost, 'x' AS ps_comment"""),
        "customer": (customers, f"""SELECT n + 1 AS c_custkey, 'Customer#' || n AS c_name, 'street ' || n AS c_address, CAST({roll('n', 1, 25)} AS BIGINT) AS c_nationkey,
            {phone} AS c_phone, {money(roll('n', 4, 1100000) + ' / 100.0 - 999')} AS c_acctbal,
            {pick(['BUILDING', 'AUTOMOBILE', 'MACHINERY', 'HOUSEHOLD', 'FURNITURE'], 'n', 5)} AS c_mktsegment, 'x' AS c_comment"""),
        "orders": (orders, f"""SELECT n + 1 AS o_orderkey, CAST({roll('n', 1, customers // 3)} AS BIGINT) * 3 + 1 AS o_custkey, {pick(['F', 'O', 'P'], 'n', 2)} AS o_orderstatus,
            {money('1000 + ' + roll('n', 3, 40000000) + ' / 100.0')} AS o_totalprice, {day.replace('(o ', '(n ')} AS o_orderdate,
            {pick(['1-URGENT', '2-HIGH', '3-MEDIUM', '4-NOT SPECIFIED', '5-LOW'], 'n', 6)} AS o_orderpriority, 'Clerk#' || n % 10 AS o_clerk,
            CAST(0 AS INTEGER) AS o_shippriority, CASE WHEN n % 12 = 5 THEN 'some special packed requests' ELSE 'x' END AS o_comment"""),
        "lineitem": (orders * 4, f"""SELECT o + 1 AS l_orderkey, part + 1 AS l_partkey, (part + {roll('n', 11, 4)} * {max(1, suppliers // 4)}) % {suppliers} + 1 AS l_suppkey,
            CAST(n % 4 + 1 AS INTEGER) AS l_linenumber, {money('1 + ' + roll('n', 12, 50) + " + CASE WHEN o % 100 = 7 THEN 40 ELSE 0 END")} AS l_quantity,
            {money('900 + ' + roll('n', 13, 9000000) + ' / 100.0')} AS l_extendedprice, {money(roll('n', 14, 11) + ' / 100.0')} AS l_discount,
            {money(roll('n', 15, 9) + ' / 100.0')} AS l_tax, {pick(['R', 'A', 'N'], 'n', 16)} AS l_returnflag, {pick(['O', 'F'], 'n', 17)} AS l_linestatus,
            {line_day} AS l_shipdate, {day} + 30 + {roll('n', 21, 61)} AS l_commitdate, {line_day} + 1 + {roll('n', 22, 30)} AS l_receiptdate,
            {pick(['DELIVER IN PERSON', 'COLLECT COD', 'NONE', 'TAKE BACK RETURN'], 'n', 18)} AS l_shipinstruct,
            {pick(['REG AIR', 'AIR', 'RAIL', 'SHIP', 'TRUCK', 'MAIL', 'FOB'], 'n', 19)} AS l_shipmode, 'x' AS l_comment
            FROM (SELECT n, n // 4 AS o, CAST({roll('n', 10, parts)} AS BIGINT) AS part FROM r)"""),
    }


def statements(scale=0.01):
    """CREATE FRAME AS, and INSERTs for further cells."""
    out = []
    for name, (rows, select) in tables(scale).items():
        cells = CELLS.get(name, 1)
        for cell in range(cells):
            source = f"WITH r AS (SELECT n FROM range({rows * cell // cells}, {rows * (cell + 1) // cells}) q(n)) {select}"
            source += "" if name == "lineitem" else " FROM r"
            out.append(f"CREATE FRAME {name} AS {source}" if cell == 0 else f"INSERT INTO {name} {source}")
    return out
