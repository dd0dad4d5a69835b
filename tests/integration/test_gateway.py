"""The gateway as a process between an ISO 8583 client and a real worker on a real broker."""

from __future__ import annotations

import ast
import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from deploy.embedded.kafka import Broker
from models.messages import AuthorizationMessage, AuthorizationRequest, Inbound
from tables import rows
from tests.support import messages as say
from tests.support.checker import Run
from tests.support.story import just_now
from tests.support.traffic import producer, read, send, wait_for
from tests.support.workers import WorkerProcess, worker
from topics.admin import ensure_topics
from topics.cluster import Cluster
from topics.iso8583 import Origin, encode_request
from topics.iso8583.packager import Elements, pack, unpack

PANS = {f"acct-{number}": f"999999000000{16 * number:04}" for number in range(4)}
PATIENCE_S = 60


class Client:
    """One link of an ISO 8583 simulator: two bytes of length, then the message."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        self._stream = self._socket.makefile("rb")

    def send(self, raw: bytes) -> None:
        self._socket.sendall(len(raw).to_bytes(2, "big") + raw)

    def send_bytes(self, data: bytes) -> None:
        self._socket.sendall(data)

    def manage(self, function: str) -> Elements:
        self.send(pack({0: "0800", 7: "0101000000", 11: "000007", 70: function}))
        return self.receive()

    def receive(self) -> Elements:
        length = int.from_bytes(self._stream.read(2), "big")
        elements = unpack(self._stream.read(length))
        assert isinstance(elements, dict), elements
        return elements

    def at_end(self) -> bool:
        return self._stream.read(1) == b""

    def ask(self, message: AuthorizationMessage, message_type: str | None = None) -> Elements:
        self.say(message, message_type)
        return self.receive()

    def say(self, message: AuthorizationMessage, message_type: str | None = None) -> None:
        self.send(iso(message, message_type))

    def close(self) -> None:
        self._stream.close()
        self._socket.close()


def iso(message: AuthorizationMessage, message_type: str | None = None) -> bytes:
    return encode_request(message, Origin(PANS[message.account_id], "12345", "000001"), message_type)


def of(reference: str, amount: int, account: str = "acct-0", **changes: Any) -> AuthorizationRequest:
    return say.request(reference, amount, account, transmitted_at=just_now(), **changes)


def code(elements: Elements) -> tuple[str, str]:
    return elements[0], elements[39]


@contextmanager
def gateway(kafka: str, folder: Path, **settings: object) -> Iterator[tuple[WorkerProcess, int]]:
    """An `otb gateway` process and its port; gone when the block ends."""
    cards = folder / "cards.csv"
    lines = [f"{pan},{account},card-{account}" for account, pan in PANS.items()]
    cards.write_text("\n".join(["pan,account_id,card_token", *lines]))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OTB_")}
    environment |= {"OTB_KAFKA": kafka, "OTB_HOME": str(folder), "OTB_GATEWAY_CARDS": str(cards)}
    environment |= {f"OTB_GATEWAY_{name.upper()}": str(value) for name, value in settings.items()}
    log = folder / f"gateway-{time.monotonic_ns()}.log"
    with log.open("wb") as output:
        arguments = [sys.executable, "-m", "deploy.cli", "gateway"]
        root = Path(__file__).parents[2]
        process = subprocess.Popen(arguments, stdout=output, stderr=output, env=environment, cwd=root)
    started = WorkerProcess(process, log)
    try:
        started.wait_ready()
        listening = next(line for line in started.output().splitlines() if line.startswith("listening "))
        yield started, int(listening.rsplit(":", 1)[1])
    finally:
        started.end()
        assert not any(pan in started.output() for pan in PANS.values()), "no card number in the log"


def open_accounts(kafka: str, *more: Inbound) -> None:
    opened = [say.opened(account, transmitted_at=just_now(), credit_limit=100_000) for account in PANS]
    wanted = [*opened, *more]
    send(producer(kafka), wanted)
    wait_for(kafka, "account-updates", len(wanted))


def wait_until(said: Any, wanted: Any) -> None:
    """`said()` becomes `wanted`."""
    deadline = time.monotonic() + PATIENCE_S
    while (found := said()) != wanted:
        assert time.monotonic() < deadline, f"{found!r}, not {wanted!r}"
        time.sleep(0.2)


def holds(kafka: str, account: str) -> dict[str, int]:
    """The open holds of an account as last committed."""
    row: Any = rows.decode(Run(kafka).last_rows()[account])
    return {reference: held.amount for reference, held in row.holds.items()}


def bodies(kafka: str, topic: str) -> list[dict[str, Any]]:
    return [orjson.loads(record.value()) for partition in read(kafka, topic) for record in partition]


def written_client(port: int) -> str:
    """The answer that the client in docs/gateway.md prints."""
    page = (Path(__file__).parents[2] / "docs" / "gateway.md").read_text(encoding="utf-8")
    program = page.partition("```python\n")[2].partition("```")[0].replace("8583", str(port))
    answer: bytes = ast.literal_eval(subprocess.check_output([sys.executable, "-c", program], text=True, timeout=60))
    return answer.decode()


def test_an_iso_client_lives_through_the_lifecycle_on_two_connections(empty_kafka: str, tmp_path: Path) -> None:
    kafka = empty_kafka
    with worker(kafka, tmp_path) as only:
        only.wait_ready()
        open_accounts(kafka, say.card_status("lost", account="acct-3", transmitted_at=just_now()))
        with gateway(kafka, tmp_path, deadline_ms=30_000) as (process, port):
            one, two = Client(port), Client(port)
            assert [code(one.manage("001")), code(two.manage("301"))] == [("0810", "00")] * 2

            first = of("ref-1", 2500)
            approved = one.ask(first)
            assert code(approved) == ("0110", "00")
            assert len(approved[38]) == 6
            assert approved[2] == PANS["acct-0"]
            assert two.ask(first, "0101") == approved, "a repeat on the other link is answered alike"
            assert code(one.ask(replace(first, amount=2600))) == ("0110", "94")
            assert code(two.ask(of("ref-2", 2000), "0200")) == ("0210", "00")

            part = one.ask(of("ref-3", 100_000, partial_approval=True))
            assert (code(part), part[4], part[54][-12:]) == (("0110", "10"), "000000095500", "000000100000")
            assert code(two.ask(of("ref-4", 1))) == ("0110", "51")

            freed = say.reversal("ref-3", "rev-1", "acct-0", transmitted_at=just_now())
            assert code(two.ask(freed, "0420")) == ("0430", "00")
            assert two.ask(freed, "0421")[39] == "00"
            more = say.increment("ref-1", 500, "inc-1", "acct-0", transmitted_at=just_now())
            assert code(one.ask(more)) == ("0110", "00")
            fuel = say.completion("ref-1", 2700, "adv-1", "acct-0", transmitted_at=just_now())
            assert code(one.ask(fuel)) == ("0130", "00")
            stand_in = say.stand_in("ref-5", 700, "acct-1", transmitted_at=just_now())
            assert code(two.ask(stand_in, "0121")) == ("0130", "00")
            given_back = say.reversal("ref-2", "rev-2", "acct-0", transmitted_at=just_now())
            assert code(one.ask(given_back)) == ("0410", "00")
            assert one.ask(given_back, "0401")[39] == "00"

            assert code(one.ask(of("ref-6", 100, "acct-2", card_expiry=203011))) == ("0110", "54")
            assert code(one.ask(of("ref-7", 100, "acct-3"))) == ("0110", "41")
            assert code(one.ask(of("ref-8", 0, "acct-2", kind="account-verification"))) == ("0110", "00")
            assert holds(kafka, "acct-0") == {"ref-1": 2700}
            assert holds(kafka, "acct-1") == {"ref-5": 700}

            metrics = process.metrics()
            assert 'otb_gateway_requests_total{code="00",type="0100"} 3.0' in metrics
            assert 'otb_gateway_requests_total{code="10",type="0100"} 1.0' in metrics
            assert 'otb_gateway_requests_total{code="00",type="0421"} 1.0' in metrics
            assert "otb_gateway_connections 2.0" in metrics
            assert "otb_gateway_in_flight 0.0" in metrics
            assert "otb_gateway_answer_seconds_count 18.0" in metrics
            answer = unpack(written_client(port).encode())
            assert isinstance(answer, dict)
            assert (code(answer), answer[2]) == (("0110", "00"), PANS["acct-1"])
            one.close()
            two.close()
            process.signal(signal.SIGTERM)
            assert process.wait_ended() == 0


def test_garbage_between_good_frames_and_a_burst(empty_kafka: str, tmp_path: Path) -> None:
    kafka = empty_kafka
    with worker(kafka, tmp_path, fraud_model="none") as only:  # to which a burst looks like fraud
        only.wait_ready()
        open_accounts(kafka)
        with gateway(kafka, tmp_path, max_in_flight=16, deadline_ms=30_000) as (process, port):
            noisy, other = Client(port), Client(port)
            good = iso(of("ref-1", 100))
            cut = bytearray(good)
            cut[4] = 0xFF  # bits of elements that are not there
            for noise in (b"\x00\xff\x13", b"", b"0110" + good[4:], bytes(cut), b"9" * 9000):
                noisy.send(noise)
            noisy.send(good)
            assert code(noisy.receive()) == ("0110", "00"), "the first answer is that to the first good frame"
            incomplete = unpack(good)
            assert isinstance(incomplete, dict)
            del incomplete[14]
            noisy.send(pack(incomplete))
            assert code(noisy.receive()) == ("0110", "30")
            noisy.send(pack(incomplete | {2: "9999999999999999", 14: "3012"}))
            assert code(noisy.receive()) == ("0110", "14")

            noisy.send_bytes(b"\xff\xff" + good)
            assert noisy.at_end(), "a length beyond the bound closes the connection"
            assert code(other.ask(of("ref-2", 100))) == ("0110", "00")

            requests = [of(f"burst-{number}", 10, f"acct-{number % 4}") for number in range(300)]
            glued = b"".join(len(raw).to_bytes(2, "big") + raw for raw in map(iso, requests))
            for at in range(0, len(glued), 777):  # cut anywhere
                other.send_bytes(glued[at : at + 777])
            answers = [other.receive() for _ in requests]
            assert {answer[63] for answer in answers} == {request.network_reference for request in requests}
            assert {code(answer) for answer in answers} == {("0110", "00")}

            metrics = process.metrics()
            assert 'otb_gateway_malformed_total{reason="not-iso8583"} 3.0' in metrics
            assert 'otb_gateway_malformed_total{reason="unsupported-type"} 1.0' in metrics
            assert 'otb_gateway_malformed_total{reason="missing-element"} 1.0' in metrics
            assert 'otb_gateway_malformed_total{reason="unknown-card-number"} 1.0' in metrics
            assert "otb_gateway_broken_connections_total 1.0" in metrics
            assert "otb_gateway_timeouts_total{" not in metrics
            other.close()


def first_approved(link: Client, amount: int) -> str:
    """The reference of an approved authorisation: a worker's first slice may take longer than the deadline, and what
    was answered with 91 stays so."""
    return next(
        reference
        for reference in (f"first-{number}" for number in range(20))
        if link.ask(of(reference, amount))[39] == "00"
    )


def test_what_a_frozen_worker_decides_too_late_leaves_no_hold(empty_kafka: str, tmp_path: Path) -> None:
    kafka = empty_kafka
    with worker(kafka, tmp_path) as only, gateway(kafka, tmp_path, deadline_ms=3000) as (process, port):
        only.wait_ready()
        open_accounts(kafka)
        link, other = Client(port), Client(port)
        held = first_approved(link, 5000)
        only.signal(signal.SIGSTOP)
        only.wait_stopped()

        late = of("ref-1", 3000)
        link.say(late)
        other.say(late, "0101")
        link.say(say.increment(held, 400, "inc-1", "acct-0", transmitted_at=just_now()))
        link.say(say.stand_in("ref-2", 700, "acct-1", transmitted_at=just_now()))
        link.say(say.reversal("ref-9", "rev-9", "acct-2", transmitted_at=just_now()), "0420")
        link.say(of("ref-3", 0, "acct-1", kind="account-verification"))
        assert code(other.receive()) == ("0110", "91")
        assert sorted(code(link.receive()) for _ in range(5)) == [
            ("0110", "91"), ("0110", "91"), ("0110", "91"), ("0130", "91"), ("0430", "91"),
        ]  # fmt: skip
        assert code(link.manage("301")) == ("0810", "00"), "the link itself lives"

        only.signal(signal.SIGCONT)
        wait_until(lambda: holds(kafka, "acct-0"), {held: 5000})
        wait_until(lambda: holds(kafka, "acct-1"), {"ref-2": 700})
        wait_until(lambda: "otb_gateway_reversals_waiting 0.0" in process.metrics(), True)
        acknowledged = {
            body["message_id"]: (body["network_reference"], body["outcome"], body["released"])
            for body in bodies(kafka, "authorization-decisions")
            if body["type"] == "reversal-acknowledgement"
        }
        assert acknowledged["timeout-ref-1"] == ("ref-1", "released", 3000)
        assert acknowledged["timeout-inc-1"] == (held, "released", 400)
        assert link.ask(late, "0101")[39] == "91", "a repeat of what was refused is refused"
        assert code(link.ask(of("ref-4", 3000))) == ("0110", "00")
        assert code(link.ask(say.stand_in("ref-2", 700, "acct-1", transmitted_at=just_now()), "0121")) == ("0130", "00")
        assert holds(kafka, "acct-0") == {held: 5000, "ref-4": 3000}
        metrics = process.metrics()
        slow = int(held.removeprefix("first-"))  # how many came before it and were too late
        assert f'otb_gateway_late_replies_total{{type="authorization-decision"}} {4 + slow}.0' in metrics
        assert 'otb_gateway_late_replies_total{type="advice-acknowledgement"} 1.0' in metrics
        assert 'otb_gateway_late_replies_total{type="reversal-acknowledgement"} 1.0' in metrics
        assert f"otb_gateway_reversals_total {2 + slow}.0" in metrics
        Run(kafka).check()


def test_kafka_goes_away_and_comes_back(own_broker: Broker, tmp_path: Path) -> None:
    """No worker is there at all, so everything is answered with 91; what got out is taken back in every case."""
    kafka = own_broker.bootstrap
    asyncio.run(ensure_topics(Cluster(kafka), "opentobuy", 4, 1))
    with gateway(kafka, tmp_path, deadline_ms=500) as (process, port):
        link = Client(port)
        assert code(link.ask(of("ref-before", 100))) == ("0110", "91")
        own_broker.stop()
        for number in range(8):
            assert code(link.ask(of(f"ref-away-{number}", 100, f"acct-{number % 4}"))) == ("0110", "91")
        assert code(link.manage("301")) == ("0810", "00")
        own_broker.start()
        own_broker.wait_ready()
        wait_until(lambda: "otb_gateway_reversals_waiting 0.0" in process.metrics(), True)
        assert code(link.ask(of("ref-after", 100))) == ("0110", "91")
        wait_until(lambda: "otb_gateway_reversals_waiting 0.0" in process.metrics(), True)
        link.close()
    sent = [(body["type"], body["network_reference"]) for body in bodies(kafka, "authorizations")]
    requests = {reference for kind, reference in sent if kind == "authorization-request"}
    reversed_ = {reference for kind, reference in sent if kind == "reversal"}
    assert {"ref-before", "ref-after"} <= requests <= reversed_
    for reference in requests:
        assert sent.index(("authorization-request", reference)) < sent.index(("reversal", reference))
    assert reversed_ <= requests | {f"ref-away-{number}" for number in range(8)}


def test_a_gateway_that_is_told_to_stop_answers_what_is_in_flight(empty_kafka: str, tmp_path: Path) -> None:
    kafka = empty_kafka
    asyncio.run(ensure_topics(Cluster(kafka), "opentobuy", 4, 1))
    with gateway(kafka, tmp_path, deadline_ms=3000) as (process, port):
        one, two = Client(port), Client(port)
        one.say(of("ref-1", 100))
        two.say(of("ref-2", 100))
        wait_until(lambda: "otb_gateway_in_flight 2.0" in process.metrics(), True)
        process.signal(signal.SIGTERM)
        for link in (one, two):
            assert code(link.receive()) == ("0110", "91")
            assert link.at_end()
            link.close()
        assert process.wait_ended() == 0
    reversals = [body["network_reference"] for body in bodies(kafka, "authorizations") if body["type"] == "reversal"]
    assert sorted(reversals) == ["ref-1", "ref-2"]


def test_a_gateway_with_a_taken_port_says_so_in_one_line(empty_kafka: str, tmp_path: Path) -> None:
    asyncio.run(ensure_topics(Cluster(empty_kafka), "opentobuy", 4, 1))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refusal = pytest.raises(AssertionError, match=rf"ended with 1:[^|]*otb: cannot listen on 127.0.0.1:{port}: ")
        with refusal as refused, gateway(empty_kafka, tmp_path, port=port):
            pass
    assert "Traceback" not in str(refused.value)
