package main

import (
	"testing"

	"github.com/bodokaiser/walve/examples/internal/exampletest"
)

func TestMain(m *testing.M) { exampletest.Main(m, main) }

func TestPage(t *testing.T) {
	server := exampletest.Start(t, "-addr", "127.0.0.1:0")
	exampletest.CheckOrigin(t, server.URL, "ws?id=x")
	exampletest.CheckOrigin(t, server.URL, "watch?id=x")
	tab := exampletest.Open(t, server.URL)
	tab.WaitState("connected")
	tab.Wait(`"watching" in document.body.dataset`)

	tab.Type("#text", "grün\r")
	tab.Wait(`document.querySelector("#messages li")?.textContent.startsWith("grün ")`)
	tab.Wait(`document.querySelectorAll("#frames tr").length === 2`)
	got := exampletest.Eval[[]string](tab, `[...document.querySelectorAll("#frames tr")].map(tr =>
		[...tr.cells].map(td => td.textContent).join(" ").replace(/[0-9a-f]{8}$/, "KEY"))`)
	if got[0] != "page text yes 5 none" || got[1] != "server text yes 5 KEY" {
		t.Errorf("the page shows the frames %q", got)
	}

	tab.Click("#binary")
	tab.Wait(`document.querySelector("#messages li").textContent.startsWith("1.0 MiB of bytes")`)
	// The browser may send it in any number of frames: they add up.
	tab.Wait(`[...document.querySelectorAll("#frames tr.out")].reduce((sum, tr) => sum + Number(tr.cells[3].textContent), 0) === 5 + (1 << 20)`)
	tab.Screenshot("echo")
	tab.CheckPhone()

	server.Stop(t)
	tab.WaitState("lost")
	tab.Wait(`!document.querySelector(".state button").hidden && document.querySelector("#form button").disabled`)
}

func TestComesBack(t *testing.T) {
	relay := exampletest.NewRelay(t)
	first := exampletest.Start(t, "-addr", "127.0.0.1:0")
	relay.To(t, first.URL)
	tab := exampletest.Open(t, relay.URL)
	tab.WaitState("connected")
	exampletest.Eval[bool](tab, `(window.states = [], new MutationObserver(() => states.push(document.querySelector(".state").dataset.state))
		.observe(document.querySelector(".state"), {attributes: true}), true)`)
	relay.To(t, "")
	first.Kill()
	tab.Wait(`states.includes("lost") && states.includes("reconnecting")`)
	relay.To(t, exampletest.Start(t, "-addr", "127.0.0.1:0").URL)
	tab.WaitState("connected")
	tab.Type("#text", "again\r")
	tab.Wait(`document.querySelector("#messages li")?.textContent.startsWith("again ")`)
}
