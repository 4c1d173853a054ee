"""The whole product on a real control plane: chart, operator, scheduler, Job, runner, S3.

Every module has a control plane of its own (`BED` says with which nodes and values), every test a served
namespace of its own. Nothing here reaches into the operator: tests see what a user sees, through the API,
kubectl and S3.
"""

import pytest

pytest.register_assert_rewrite("tests.e2e.rest", "tests.e2e.whole_status", "tests.e2e.witness")
