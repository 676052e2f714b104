"""Samples that share a file or a question form one cluster, unless the suite states other clusters."""

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


def test_samples_connected_by_shared_images_form_one_cluster():
    names = clusters(
        sample("1", Text("a"), image("x")),
        sample("2", Text("b"), image("y")),
        sample("3", Text("c"), image("x"), image("y")),
        sample("4", Text("d"), image("z")),
    )
    assert names[0] == names[1] == names[2] != ""
    assert names[3] == ""


def test_equal_questions_form_a_cluster_only_if_their_options_are_equal():
    assert clusters(sample("1", Text("CCO")), sample("2", Text("CCO")), sample("3", Text("CCN")))[0] != ""
    question = Text("Which of these is right?")
    assert clusters(sample("1", question, choices=("a", "b")), sample("2", question, choices=("c", "d"))) == [
        "",
        "",
    ]


def test_a_cluster_stated_by_the_suite_is_kept_and_extended_by_samples_with_the_same_file():
    stated = clusters(sample("1", image("x"), cluster="own"), sample("2", image("y"), cluster="own"))
    assert stated == ["own", "own"]
    extended = clusters(
        sample("1", image("x"), cluster="own"),
        sample("2", image("y"), cluster="own"),
        sample("3", image("y")),
        sample("4", image("z"), cluster="other"),
    )
    assert extended[0] == extended[1] == extended[2] != ""
    assert extended[3] == "other"


def test_a_sample_with_the_same_image_twice_forms_no_cluster():
    assert clusters(sample("1", image("x"), image("x"))) == [""]
