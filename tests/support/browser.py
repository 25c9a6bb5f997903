"""A headless Chromium for tests, driven over the DevTools protocol, in a profile of its own."""

import asyncio
import base64
import contextlib
import json
import os
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.programs import program


class Browser:
    """One page of a Chromium, and everything it said."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._asked = 0
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reader = asyncio.create_task(self._read(), name="browser")
        self.requests: list[str] = []
        self.complaints: list[str] = []
        """Console errors, exceptions, security violations, failed requests."""

    async def _read(self) -> None:
        async for message in self._socket:
            document = json.loads(message.data)
            if "id" in document:
                self._answers.pop(document["id"]).set_result(document)
                continue
            kind, detail = document["method"], document["params"]
            if kind == "Network.requestWillBeSent":
                self.requests.append(detail["request"]["url"])
            elif kind == "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(detail["exceptionDetails"]))
            elif kind == "Runtime.consoleAPICalled" and detail["type"] in {"error", "warning", "assert"}:
                self.complaints.append(json.dumps(detail["args"]))
            elif kind == "Log.entryAdded" and detail["entry"]["level"] in {"error", "warning"}:
                self.complaints.append(json.dumps(detail["entry"]))

    async def send(self, method: str, **params: Any) -> dict[str, Any]:
        self._asked += 1
        self._answers[self._asked] = answer = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": self._asked, "method": method, "params": params})
        document = await asyncio.wait_for(answer, 30)
        if "error" in document:
            raise AssertionError(f"{method}: {document['error']}")
        result: dict[str, Any] = document["result"]
        return result

    async def open(self, address: str) -> None:
        await self.send("Page.navigate", url=address)

    async def value(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise is awaited."""
        result = await self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise AssertionError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    async def until(self, expression: str, timeout_s: float = 30.0) -> Any:
        """The first truthy value of an expression."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            found = await self.value(f"(() => {{ try {{ return {expression} }} catch {{ return null }} }})()")
            if found:
                return found
            if time.monotonic() > deadline_s:
                text = await self.value("document.body.innerText")
                raise AssertionError(f"waited in vain for {expression}; complaints {self.complaints}; page:\n{text}")
            await asyncio.sleep(0.05)

    async def size(self, width: int, height: int, *, mobile: bool = False) -> None:
        await self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile
        )

    async def scheme(self, name: str) -> None:
        """``light`` or ``dark``."""
        await self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    async def press(self, key: str, code: int, text: str = "") -> None:
        for kind in ("keyDown", "keyUp"):
            await self.send(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, text=text
            )

    async def screenshot(self, *, whole: bool = False) -> bytes:
        """A PNG of what is seen, or of the whole page."""
        result = await self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(result["data"])

    async def close(self) -> None:
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await self._socket.close()


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A Chromium with one empty page, ended with the block."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        child = subprocess.Popen(  # noqa: ASYNC220 - the start takes no time, and the end is waited for in a thread
            [
                program("chromium"), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                "--no-first-run", "--disable-background-networking", "--disable-component-update",
                "--disable-extensions", "--hide-scrollbars", "--force-color-profile=srgb",
                "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": profile},
        )  # fmt: skip
        try:
            async with aiohttp.ClientSession() as session:
                port = await asyncio.to_thread(_port, Path(profile) / "DevToolsActivePort", child)
                async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                    pages = await answer.json()
                target = next(page for page in pages if page["type"] == "page")
                async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=2**28) as socket:
                    browser = Browser(socket)
                    for domain in ("Page", "Runtime", "Network", "Log"):
                        await browser.send(f"{domain}.enable")
                    try:
                        yield browser
                    finally:
                        await browser.close()
        finally:
            child.terminate()
            try:
                await asyncio.to_thread(child.wait, 10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def _port(file: Path, child: "subprocess.Popen[bytes]") -> int:
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s and child.poll() is None:
        if file.exists() and (lines := file.read_text().split()):
            return int(lines[0])
        time.sleep(0.05)
    raise AssertionError(f"chromium did not start; exit status {child.poll()}")
