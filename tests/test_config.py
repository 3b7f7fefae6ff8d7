from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from rtp_monolith.config import Config, load, parse
from rtp_monolith.errors import ConfigError

KEY = "0123456789abcdef"
HOME, POPULAR = "[surfaces.home]", "[surfaces.home.sources.popular]"


def test_without_a_file_there_are_two_surfaces_no_key_and_no_rate_limit() -> None:
    config = load(None)
    assert list(config.surfaces) == ["home", "product"]
    assert config.keys == []
    assert config.limits.requests_per_s is None
    assert (config.limits.body_bytes_max, config.limits.batch_events_max, config.limits.k_max) == (1048576, 1000, 200)
    assert (config.partitions, config.limits.props_max, config.limits.rank_timeout_ms) == (256, 64, 100.0)
    assert (config.recall.m_most_recent_sessions, config.recall.neighborhood_size_k) == (500, 50)
    assert (config.recall.max_items_in_session, config.recall.idf_weighting) == (2, 1.0)


def test_without_a_file_the_surfaces_use_a_bundle_when_there_is_one() -> None:
    home, product = load(None).surfaces.values()
    assert home.sources["ann"].quota == 500 and "ann" in product.sources
    assert (home.rank, home.value, home.k) == ("model", "0.2*click + 1.0*cart + 3.0*purchase", 20)
    assert home.explore is not None and product.explore is None
    budgets = [value for name, value in msgspec.to_builtins(load(None).cascade).items() if name.endswith("_budget_ms")]
    assert sum(budgets) < load(None).limits.rank_timeout_ms, "also when every stage stalls"


def test_a_file_replaces_what_it_names_and_leaves_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "rtp.toml"
    path.write_text(
        f"""
        partitions = 16
        [events]
        custom = ["wishlist"]
        [limits]
        requests_per_s = 50
        [[keys]]
        key = "{KEY}"
        scopes = ["events", "lists"]
        server = true
        [surfaces.cart.sources]
        covis = {{ quota = 10, weight = 0.5 }}
        """
    )
    config = load(path)
    assert (config.partitions, config.events.custom, config.limits.requests_per_s) == (16, ["wishlist"], 50.0)
    assert (config.keys[0].key, config.keys[0].scopes, config.keys[0].server) == (KEY, ["events", "lists"], True)
    assert list(config.surfaces) == ["cart"]
    assert config.surfaces["cart"].sources["covis"].quota == 10
    assert config.limits.queue_max == Config().limits.queue_max


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("partition = 4", "unknown key `partition`, did you mean `partitions`?"),
        ("[limits]\nk_maximum = 4", "unknown key `limits.k_maximum`, did you mean `k_max`?"),
        (
            "[surfaces.home.sources.covisit]\nquota = 1",
            "unknown key `surfaces.home.sources.covisit`, did you mean `covis`?",
        ),
        (f"[[keys]]\nkey = '{KEY}'\nscope = ['events']", "unknown key `keys[0].scope`, did you mean `scopes`?"),
        ("zzz = 1", "unknown key `zzz`; known are partitions"),
        ("[cascade]\nrank_budget = 4", "unknown key `cascade.rank_budget`, did you mean `rank_budget_ms`?"),
        (
            f"{HOME}\nexplore = {{ solt = 4 }}\n{POPULAR}",
            "unknown key `surfaces.home.explore.solt`, did you mean `slot`?",
        ),
        (f"{HOME}\nrecall_wieght = 0.1\n{POPULAR}", "did you mean `recall_weight`?"),
        (f"{HOME}\nexplore = {{ slot = 200 }}\n{POPULAR}", "`surfaces.home.explore.slot`: Expected `int` <= 199"),
        (f"{HOME}\nrank = 'best'\n{POPULAR}", "Invalid enum value 'best'"),
        (f"{HOME}\nseen = 'exlude'\n{POPULAR}", "`surfaces.home`: seen is 'exlude', did you mean `exclude`?"),
        (f"{HOME}\nbought = '7 days'\n{POPULAR}", "bought is '7 days'; there are exclude, allow, and times such as 7d"),
        (f"{POPULAR}\n[surfaces.home.rules.caps.x]", "unknown key `surfaces.home.rules.caps`, did you mean `cap`?"),
        (
            f"{POPULAR}\n[surfaces.home.rules.cap.x]\nby = 'seller'\nmost = 0",
            "`surfaces.home.rules.cap.x.most`: Expected `int` >= 1",
        ),
        (
            f"{POPULAR}\n[surfaces.home.rules.mix.x]\nwhere = 'a'\nleast = 0.5\nmost = 0.1",
            "`surfaces.home.rules.mix.x`: least is 0.5, most is 0.1",
        ),
        (f"{HOME}\nk = 0\n{POPULAR}", "Expected `int` >= 1"),
        ("[surfaces.home.sources.texts]\nquota = 1", "did you mean `text`?"),
        ("partitions = 'many'", "Expected `int`, got `str` - at `partitions`"),
        ("partitions = 0", "Expected `int` >= 1 - at `partitions`"),
        ("[limits]\nk_max = 201", "Expected `int` <= 200 - at `limits.k_max`"),
        ("[events]\ncustom = ['Big Sale']", "at `events.custom[0]`"),
        ("[events]\ncustom = ['click']", "'click' exists already"),
        ("[events]\npurchase_requires_server_key = true", "no key has server = true"),
        ("[[keys]]\nkey = 'short'\nscopes = ['events']", "at `keys[0].key`"),
        (f"[[keys]]\nkey = '{KEY}'\nscopes = []", "at `keys[0].scopes`"),
        (f"[[keys]]\nkey = '{KEY}'\nscopes = ['root']", "Invalid enum value 'root'"),
        (f"[[keys]]\nkey = '{KEY}'\nscopes = ['events']\n" * 2, "one key is there twice"),
        ("[surfaces]", "at least one is needed"),
        ("partitions =", "not TOML"),
    ],
)
def test_what_is_wrong_is_refused_and_named(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "rtp.toml")
    assert caught.value.message.startswith("rtp.toml: ")
    assert said in caught.value.message


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml: cannot be read"):
        load(tmp_path / "absent.toml")


def test_it_is_frozen() -> None:
    with pytest.raises(AttributeError):
        Config().partitions = 3  # type: ignore[misc]


def test_printing_shows_everything_but_the_keys() -> None:
    config = parse(f"[[keys]]\nkey = '{KEY}'\nscopes = ['admin']")
    printed = config.printable()
    assert KEY not in printed
    plain = json.loads(printed)
    assert plain["keys"] == [{"key": "0123…", "scopes": ["admin"], "server": False, "name": ""}]
    assert plain["limits"]["k_max"] == 200


def test_the_digest_changes_with_a_value_and_not_with_a_key() -> None:
    plain = Config()
    assert plain.digest() == parse(f"[[keys]]\nkey = '{KEY}'\nscopes = ['admin']").digest()
    assert plain.digest() != parse("[limits]\nk_max = 100").digest()
    assert plain.digest() == msgspec.convert(msgspec.to_builtins(plain), Config).digest()
    assert len(plain.digest()) == 16


def test_rules_are_part_of_the_digest_and_their_absence_is_not() -> None:
    shown = f"{HOME}\n{{}}\n{POPULAR}"
    plain = parse(shown.format(""))
    for said in ("stability = {}", "diversify = 'dpp'", "rules = { bury = { x = 'item.price > 9' } }", "seen = '7d'"):
        assert parse(shown.format(said)).digest() != plain.digest(), said
    assert parse(shown.format("rules = {}\ndiversify = 'mmr'")).digest() == plain.digest()
    assert parse("[cascade]\npages_max = 7").digest() == Config().digest()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[heads.play]\nevents = ["viev"]', "heads.play.events: 'viev' is no event type, did you mean `view`?"),
        ("[heads.play]", "a head has either events or dwell"),
        ('[heads.play]\nevents = ["view"]\ndwell = "5s"', "a head has either events or dwell"),
        ('[heads.Play]\nevents = ["view"]', "heads"),
        ('[heads.play]\nevent = ["view"]', "unknown key `heads.play.event`, did you mean `events`?"),
    ],
)
def test_a_head_that_cannot_be_labelled_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert said in str(caught.value)


def test_a_surface_that_names_no_value_counts_the_declared_heads_by_their_worth() -> None:
    surfaces = '[surfaces.next]\nvalue = "finish"\nsources.popular = {}\n[surfaces.home]\nsources.popular = {}\n'
    heads = '[heads.play]\nevents = ["view"]\n[heads.finish]\ndwell = "20s"\nworth = 3.0\n'
    config, other = parse(surfaces + heads), parse(surfaces + heads.replace("3.0", "4.0"))
    assert (config.value_of("home"), config.value_of("next")) == ("1.0*play + 3.0*finish", "finish")
    assert Config().value_of("home") == "0.2*click + 1.0*cart + 3.0*purchase"
    assert config.digest() != other.digest()


def test_what_a_surface_does_not_say_of_refusals_and_notifications_leaves_the_digest() -> None:
    shown = "[surfaces.home]\n{}\n[surfaces.home.sources.popular]\n"
    plain = parse(shown.format(""))
    for said in ("about = 'cart'", "negative = {}", "send = {}"):
        assert parse(shown.format(said)).digest() != plain.digest(), said
    assert parse(shown.format("about = 'request'")).digest() == plain.digest()
