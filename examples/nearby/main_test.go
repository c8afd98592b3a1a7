package main

import (
	"testing"

	"github.com/bodokaiser/walve/examples/internal/exampletest"
)

func TestMain(m *testing.M) { exampletest.Main(m, main) }

// people is who the page says is there, you first.
const people = `[...document.querySelectorAll("#people li")].map(li => li.textContent)`

func TestPages(t *testing.T) {
	server := exampletest.Start(t, "-addr", "127.0.0.1:0")
	ada, bob := exampletest.Open(t, server.URL), exampletest.Open(t, server.URL)
	for tab, name := range map[*exampletest.Tab]string{ada: "Ada", bob: "Bob"} {
		tab.WaitState("connected")
		exampletest.Eval[bool](tab, `(document.getElementById("name").value = "`+name+`", document.getElementById("name").dispatchEvent(new Event("change")))`)
	}
	ada.Wait(`/^Ada you,Bob \d+ m away$/.test(` + people + `)`)
	bob.Wait(`/^Bob you,Ada \d+ m away$/.test(` + people + `)`)

	// Bob walks, and Ada sees it.
	was := exampletest.Eval[string](ada, people+`[1]`)
	ada.Wait(people + `[1] !== "` + was + `"`)
	ada.Screenshot("nearby")
	ada.CheckPhone()

	// Bob shares where he really is.
	exampletest.Eval[bool](bob, `(navigator.geolocation.watchPosition = (found) => found({coords: {latitude: 48.85, longitude: 2.35, accuracy: 5}}),
		document.getElementById("source").value = "real", document.getElementById("source").dispatchEvent(new Event("change")))`)
	ada.Wait(`/^Ada you,Bob 8\d\d\.\d km away$/.test(` + people + `)`)
	ada.Wait(`document.getElementById("canvas").dataset.scale.endsWith("00 km")`)

	// By keyboard.
	ada.Type("#canvas", "+++++")
	ada.Wait(`document.getElementById("canvas").dataset.scale.match(/^[125]0 km/)`)
	ada.Type("#canvas", "0")
	ada.Wait(`document.getElementById("canvas").dataset.scale.endsWith("00 km")`)

	bob.Close()
	ada.Wait(people + `.length === 1`)
}
