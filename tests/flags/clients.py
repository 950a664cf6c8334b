"""Real clients of the addresses for feature flags: OpenFeature's OFREP provider, and GO Feature Flag's own provider once
over the wire and once in process. Each evaluates the same flags for the same people; what it gets is printed as JSON.
"""

import json
import sys

from gofeatureflag_python_provider.options import EvaluationType, GoFeatureFlagOptions
from gofeatureflag_python_provider.provider import GoFeatureFlagProvider
from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext

url, key, people = sys.argv[1], sys.argv[2], int(sys.argv[3])


def told(details):
    return [details.value, details.variant, str(details.reason), details.error_code and str(details.error_code)]


def evaluated(name, provider):
    api.set_provider_and_wait(provider, name)
    client = api.get_client(name)
    answers = {}
    for number in range(people):
        about = EvaluationContext(f"person-{number}", {"email": f"p{number}@example.com", "tenantId": "somebody else's"})
        answers[f"person-{number}"] = {
            "shares": told(client.get_boolean_details("shares", False, about)),
            "own-tenant": told(client.get_string_details("own-tenant", "default", about)),
            "shape": told(client.get_object_details("shape", {}, about)),
            "number": told(client.get_integer_details("number", 0, about)),
            "off": told(client.get_boolean_details("off", True, about)),
            "nowhere": told(client.get_boolean_details("nowhere", True, about)),
        }
    return answers


def relay(kind):
    return GoFeatureFlagProvider(
        options=GoFeatureFlagOptions(endpoint=url, api_key=key, evaluation_type=kind, data_flush_interval=100)
    )


answers = {
    "ofrep": evaluated("ofrep", OFREPProvider(url, headers_factory=lambda: {"Authorization": f"Bearer {key}"})),
    "remote": evaluated("remote", relay(EvaluationType.REMOTE)),
    "inprocess": evaluated("inprocess", relay(EvaluationType.INPROCESS)),
}
# Hands in what was evaluated in process.
api.shutdown()
print(json.dumps(answers))
