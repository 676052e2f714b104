"""Samples that share a file or a question are one cluster, in every suite that names none itself."""

from __future__ import annotations

from evals.data.sample_store import SampleStore
from evals.types import Media, Sample, Text


def image(name: str) -> Media:
    return Media("image", "image/png", name * 64)


def clusters(*samples: Sample) -> list[str]:
    store = SampleStore()
    for sample in samples:
        store.add(sample)
    store.freeze()
    assert [sample.cluster for sample in store] == store.clusters
    return store.clusters


def sample(name: str, *question: Text | Media, cluster: str = "", choices: tuple[str, ...] = ()) -> Sample:
    return Sample(id=name, question=question, target="A", cluster=cluster, choices=choices)


def test_samples_on_one_image_are_a_cluster_and_chains_are_one():
    found = clusters(
        sample("1", Text("a"), image("x")),
        sample("2", Text("b"), image("y")),
        sample("3", Text("c"), image("x"), image("y")),
        sample("4", Text("d"), image("z")),
    )
    assert found[0] == found[1] == found[2] != ""
    assert found[3] == ""


def test_the_same_input_is_a_cluster_and_the_same_words_above_other_options_are_not():
    assert clusters(sample("1", Text("CCO")), sample("2", Text("CCO")), sample("3", Text("CCN")))[0] != ""
    which = Text("Which of these is right?")
    assert clusters(sample("1", which, choices=("a", "b")), sample("2", which, choices=("c", "d"))) == [
        "",
        "",
    ]


def test_a_suite_s_own_cluster_keeps_its_name_and_is_joined_by_what_shares_a_file():
    alone = clusters(sample("1", image("x"), cluster="own"), sample("2", image("y"), cluster="own"))
    assert alone == ["own", "own"]
    joined = clusters(
        sample("1", image("x"), cluster="own"),
        sample("2", image("y"), cluster="own"),
        sample("3", image("y")),
        sample("4", image("z"), cluster="other"),
    )
    assert joined[0] == joined[1] == joined[2] != ""
    assert joined[3] == "other"


def test_a_sample_that_shows_one_image_twice_stands_alone():
    assert clusters(sample("1", image("x"), image("x"))) == [""]
