package main

import (
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/bodokaiser/walve/examples/internal/exampletest"
	"github.com/bodokaiser/walve/examples/internal/sample"
)

func TestMain(m *testing.M) { exampletest.Main(m, main) }

func start(t *testing.T, args ...string) *exampletest.Process {
	t.Helper()
	return exampletest.Start(t, append([]string{"-addr", "127.0.0.1:0", "-store", filepath.Join(t.TempDir(), "store.db")}, args...)...)
}

func enter(t *testing.T, site, name string) *exampletest.Tab {
	t.Helper()
	tab := exampletest.Open(t, site+"#"+url.Values{"room": {"test"}, "name": {name}}.Encode())
	tab.Click("#join button")
	tab.WaitState("connected")
	return tab
}

const (
	people = `document.getElementById("people").textContent`
	said   = `[...document.querySelectorAll("#log li")].map(li => li.querySelector("b").textContent + ": " + li.lastChild.textContent)`
	// picture is the width of the whole picture, once it is there.
	picture = `document.querySelector("#log img:not(.thumbnail)")?.naturalWidth`
)

func TestRoom(t *testing.T) {
	server := start(t)
	ada, bob := enter(t, server.URL, "Ada"), enter(t, server.URL, "Bob")
	for _, tab := range []*exampletest.Tab{ada, bob} {
		tab.Wait(people + ` === "Ada, Bob"`)
	}
	ada.Type("#text", "Hello <b>Bob</b>\r")
	bob.Wait(said + `.includes("Ada: Hello <b>Bob</b>")`)
	bob.Type("#text", "Here is a picture\r")
	ada.Wait(said + `.includes("Bob: Here is a picture")`)

	path := filepath.Join(t.TempDir(), "waves.png")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := sample.PNG(f, 2<<20); err != nil {
		t.Fatal(err)
	}
	f.Close()
	// Ada sees the thumbnail before the picture, and both see it grow.
	for _, tab := range []*exampletest.Tab{ada, bob} {
		exampletest.Eval[bool](tab, `(window.seen = {}, new MutationObserver(() => {
			if (document.querySelector("#log img.thumbnail[src^='data:']")) seen.thumbnail = !document.querySelector("#log img:not(.thumbnail)");
			const p = document.querySelector("#log progress");
			if (p && p.value > 0 && p.value < p.max) seen.progress = true;
		}).observe(document.getElementById("log"), {childList: true, subtree: true, attributes: true}), true)`)
	}
	bob.Upload("#file", path)
	for _, tab := range []*exampletest.Tab{ada, bob} {
		tab.Wait(picture + " > 500")
		tab.Wait(`seen.thumbnail && seen.progress`)
	}
	ada.Screenshot("messenger")
	ada.CheckPhone()

	// The history has it all, the picture too.
	bob.Close()
	ada.Wait(people + ` === "Ada"`)
	eve := enter(t, server.URL, "Eve")
	eve.Wait(said + `.slice(0, 2).join() === "Ada: Hello <b>Bob</b>,Bob: Here is a picture"`)
	eve.Wait(picture + " > 500")
}

// TestComesBack: after the connection was lost nobody sees a message twice, and
// what was written meanwhile is there.
func TestComesBack(t *testing.T) {
	relay := exampletest.NewRelay(t)
	store := filepath.Join(t.TempDir(), "store.db")
	args := []string{"-addr", "127.0.0.1:0", "-store", store}
	first := exampletest.Start(t, args...)
	relay.To(t, first.URL)
	ada := enter(t, relay.URL, "Ada")
	ada.Type("#text", "before\r")
	ada.Wait(said + `.includes("Ada: before")`)
	relay.To(t, "")
	first.Stop(t)
	ada.WaitState("lost")
	second := exampletest.Start(t, args...)
	bob := enter(t, second.URL, "Bob")
	bob.Type("#text", "meanwhile\r")
	bob.Wait(said + `.length === 2`)
	relay.To(t, second.URL)
	ada.Wait(said + `.join() === "Ada: before,Bob: meanwhile"`)
	ada.Wait(people + ` === "Ada, Bob"`)
}

// TestDrop drops a picture on the page.
func TestDrop(t *testing.T) {
	ada := enter(t, start(t).URL, "Ada")
	exampletest.Eval[bool](ada, `(async () => {
		const canvas = document.createElement("canvas");
		canvas.width = 900;
		const blob = await new Promise((done) => canvas.toBlob(done));
		const dataTransfer = new DataTransfer();
		dataTransfer.items.add(new File([blob], "empty.png", { type: "image/png" }));
		document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
		return true;
	})()`)
	ada.Wait(picture + " === 900")
}
