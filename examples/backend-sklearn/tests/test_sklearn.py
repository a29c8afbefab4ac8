"""The backend "sklearn" passes the suite that every backend passes."""

import io

import joblib
import numpy as np
from charonia.testing.backend_suite import BackendSuite, Sample
from charonia.testing.builders import model_config, write_model
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

IRIS = load_iris()
CLASSIFIER = LogisticRegression(max_iter=1000).fit(IRIS.data, IRIS.target_names[IRIS.target])


class TestSklearn(BackendSuite):
    backend = "sklearn"

    def write_model(self, repository, name, content=None):
        stored = io.BytesIO()
        joblib.dump(CLASSIFIER, stored)
        config = model_config(name, backend="sklearn", inputs=(), outputs=())
        write_model(repository, config, {"1/model.joblib": stored.getvalue() if content is None else content})

    def write_broken_model(self, repository, name):
        self.write_model(repository, name, b"?")

    def samples(self):
        return [self.sample(IRIS.data[start : start + 2].astype(np.float32)) for start in (0, 60)]

    def failing_inputs(self):
        return {"features": np.full((1, 4), np.nan, np.float32)}

    @staticmethod
    def sample(features):
        labels = CLASSIFIER.predict(features)
        text = np.array([[label.encode()] for label in labels], np.object_)
        scores = CLASSIFIER.predict_proba(features).astype(np.float32)
        return Sample({"features": features}, {"label": text, "scores": scores})


def test_flowers_are_known(server, model_repository):
    """The trained classifier tells the flowers apart, in one request."""
    TestSklearn().write_model(model_repository, "iris")
    answer = server(model_repository).model("iris").infer({"features": IRIS.data[[0, 60, 120]].astype(np.float32)})
    assert [label.decode() for label in answer["label"].ravel()] == ["setosa", "versicolor", "virginica"]
