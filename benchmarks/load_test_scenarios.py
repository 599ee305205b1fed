"""Load for a Trivet cluster, in five scenarios, for Locust (S0, S3, S4).

    locust -f benchmarks/load_test_scenarios.py                       then http://localhost:8089, host http://localhost
    locust -f benchmarks/load_test_scenarios.py --host=http://localhost:8001 --users=50 --spawn-rate=5 --run-time=5m --headless

One scenario alone: name its class behind the flags, for example `LockStress`. A host without a port stands for the three nodes on 8001 to 8003;
several hosts have commas between them. The users are spread among the nodes. Outcomes that belong to the work (a lock that somebody else holds, a queue that is empty) are counted under names of
their own, with the outcome in brackets; everything else that is not a success is a failure, and fails the run.
"""

import itertools
import logging
import random
from urllib.parse import urlsplit

from locust import HttpUser, between, constant, events, task

NODE_PORTS = (8001, 8002, 8003)
NAMES = 20
_numbers = itertools.count(1)


def hosts_of(hosts):
    """The nodes that the host of the command line or the page stands for."""
    return [node for host in hosts.split(",") for node in _nodes_of(host.strip())]


def _nodes_of(host):
    parts = urlsplit(host if "://" in host else f"http://{host}")
    if parts.port is not None:
        return [f"{parts.scheme}://{parts.netloc}"]
    return [f"{parts.scheme}://{parts.hostname}:{port}" for port in NODE_PORTS]


class Cluster:
    """What the test found out at its start."""

    has_cache = True


@events.test_start.add_listener
def look_at_cluster(environment, **_):
    import requests

    host = hosts_of(environment.host or "http://localhost")[0]
    try:
        answer = requests.get(f"{host}/cache/get", params={"key": "load:0"}, timeout=5)
        Cluster.has_cache = answer.status_code != 404 or "role_not_enabled" not in answer.text
    except requests.RequestException as error:
        logging.error("%s does not answer: %s", host, error)
    if not Cluster.has_cache:
        logging.warning("Nobody here runs the cache: the calls to it are left out.")


@events.quitting.add_listener
def fail_on_failures(environment, **_):
    if environment.stats.total.num_failures > 0:
        environment.process_exit_code = 1


class TrivetUser(HttpUser):
    abstract = True
    # Locust wants one; that of the command line or of the page goes before it.
    host = "http://localhost"

    def on_start(self):
        self.number = next(_numbers)
        nodes = hosts_of(self.host)
        self.client.base_url = nodes[self.number % len(nodes)]
        self.owner = f"load-{self.number}-{random.randrange(1 << 30)}"

    def ask(self, method, path, expected=(), name=None, **arguments):
        """One call. `expected`: statuses that belong to the work, counted under a name of their own."""
        name = name or f"{method} {path}"
        with self.client.request(method, path, name=name, catch_response=True, **arguments) as answer:
            if answer.ok:
                answer.success()
            elif answer.status_code in expected:
                answer.request_meta["name"] = f"{name} [{answer.status_code}]"
                answer.success()
            else:
                answer.failure(f"{answer.status_code} {answer.text[:200]}")
            return answer

    def lock(self, hold=None, mode="exclusive", names=NAMES):
        resource = f"load-{random.randrange(names)}"
        body = {"resource": resource, "owner": self.owner, "mode": mode}
        if self.ask("POST", "/locks/acquire", expected=(423, 409), json=body).ok:
            if hold is not None:
                hold()
            self.ask("POST", "/locks/release", json={"resource": resource, "owner": self.owner})

    def produce(self, topic):
        self.ask("POST", "/queue/produce", json={"topic": topic, "message": {"from": self.owner, "n": random.random()}})

    def consume(self, topic):
        answer = self.ask("POST", "/queue/consume", json={"topic": topic})
        token = answer.json().get("ack_token") if answer.ok else None
        if token is not None:
            # 409: the lease was over, and somebody else has the message now.
            self.ask("POST", "/queue/ack", expected=(409,), json={"ack_token": token})

    def read(self, key):
        if Cluster.has_cache:
            self.ask("GET", "/cache/get", name="GET /cache/get", params={"key": key})

    def write(self, key):
        if Cluster.has_cache:
            self.ask("POST", "/cache/put", json={"key": key, "value": {"by": self.owner, "n": random.random()}})


class General(TrivetUser):
    """A bit of everything, as an application would ask."""

    weight = 5
    wait_time = between(0.1, 0.5)

    @task(4)
    def locks(self):
        self.lock()

    @task(2)
    def send(self):
        self.produce("load-general")

    @task(2)
    def receive(self):
        self.consume("load-general")

    @task(2)
    def look(self):
        self.ask("GET", random.choice(("/health", "/raft/leader", "/locks")))

    @task(2)
    def cached(self):
        self.read(f"load:{random.randrange(100)}")

    @task(1)
    def change(self):
        self.write(f"load:{random.randrange(100)}")


class LockStress(TrivetUser):
    """Few names, many users: most of them find a lock held."""

    weight = 2
    wait_time = between(0.01, 0.1)

    @task(3)
    def exclusive(self):
        self.lock(names=5)

    @task(1)
    def shared(self):
        self.lock(mode="shared", names=5)


class CacheCoherence(TrivetUser):
    """Readers and writers of the same few keys, through all nodes."""

    weight = 2
    wait_time = between(0.05, 0.2)

    @task(4)
    def read_one(self):
        self.read(f"load:{random.randrange(10)}")

    @task(1)
    def write_one(self):
        self.write(f"load:{random.randrange(10)}")


class QueueThroughput(TrivetUser):
    """Producers and consumers of one queue, without pauses."""

    weight = 2
    wait_time = constant(0)

    @task(1)
    def send(self):
        self.produce("load-throughput")

    @task(1)
    def receive(self):
        self.consume("load-throughput")


class ThreeNodes(TrivetUser):
    """Every call through another node: the nodes forward, nobody has to find the leader."""

    weight = 1
    wait_time = between(0.05, 0.2)

    @task
    def anywhere(self):
        nodes = hosts_of(self.host)
        self.client.base_url = random.choice(nodes)
        self.lock(hold=self.elsewhere)

    def elsewhere(self):
        self.client.base_url = random.choice(hosts_of(self.host))
