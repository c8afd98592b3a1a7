package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/bodokaiser/walve/examples/internal/exampletest"
)

func TestMain(m *testing.M) { exampletest.Main(m, main) }

// painted is the share of the canvas's rows that are not empty in the middle.
const painted = `(() => {
	const c = document.getElementById("canvas");
	const p = c.getContext("2d").getImageData(c.width / 2, 0, 1, c.height).data;
	return p.filter((v, i) => i % 4 === 3 && v).length / c.height;
})()`

// complete waits for the end of the file.
func complete(tab *exampletest.Tab) {
	tab.Wait(`"complete" in document.body.dataset`)
	tab.Wait(`document.getElementById("progress").position === 1`)
}

// half starts a server of a picture, of which less than half comes until the
// relay is released.
func half(t *testing.T) (*exampletest.Process, *exampletest.Relay) {
	t.Helper()
	relay := exampletest.NewRelay(t)
	relay.Hold(size * 2 / 5)
	server := exampletest.Start(t, picture...)
	relay.To(t, server.URL)
	return server, relay
}

const size = 8 << 20

var picture = []string{"-addr", "127.0.0.1:0", "-size", "8"}

// wantPainted waits until about half of the picture is painted, or all of it.
func wantPainted(tab *exampletest.Tab, all bool) {
	if all {
		complete(tab)
		tab.Wait(painted + " === 1")
	} else {
		tab.Wait(painted + " > 0.2 && " + painted + " < 0.5")
	}
}

func TestPicture(t *testing.T) {
	_, relay := half(t)
	tab := exampletest.Open(t, relay.URL)
	wantPainted(tab, false) // it shows while it arrives
	tab.Screenshot("stream")
	tab.Click("#pause")
	relay.Release()
	tab.Wait(`document.getElementById("pause").ariaPressed === "true"`)
	tab.Click("#pause")
	wantPainted(tab, true)
	if got := exampletest.Eval[int](tab, `document.getElementById("progress").max`); got < size*9/10 {
		t.Errorf("the file had %d bytes", got)
	}
	if held := exampletest.Eval[int](tab, `Number(document.getElementById("held").dataset.bytes)`); held == 0 || held > 4<<20 {
		t.Errorf("the page held %d bytes", held)
	}
	tab.CheckPhone()
}

func TestConstantMemory(t *testing.T) {
	server := exampletest.Start(t, "-addr", "127.0.0.1:0", "-size", "16")
	low, high := streamed(t, server.URL, 1<<20)
	if high-low > 8<<20 {
		t.Errorf("the server's memory was from %d to %d bytes", low, high)
	}
}

func TestSound(t *testing.T) {
	server := exampletest.Start(t, "-addr", "127.0.0.1:0", "-generate", "wav", "-size", "1")
	tab := exampletest.Open(t, server.URL)
	complete(tab)
	if n := exampletest.Eval[int](tab, `document.getElementById("canvas").getContext("2d").getImageData(0, 0, 768, 200).data.filter((v, i) => i % 4 === 3 && v).length`); n < 768*10 {
		t.Errorf("%d pixels are painted", n)
	}
}

// TestGoesOn cuts the connection in the middle.
func TestGoesOn(t *testing.T) {
	server, relay := half(t)
	tab := exampletest.Open(t, relay.URL)
	wantPainted(tab, false)
	relay.To(t, exampletest.Start(t, picture...).URL)
	server.Kill()
	relay.Release()
	wantPainted(tab, true)
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes.txt")
	if err := os.WriteFile(path, []byte("grün\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tab := exampletest.Open(t, exampletest.Start(t, "-addr", "127.0.0.1:0", path).URL)
	complete(tab)
	tab.Wait(`document.getElementById("note").textContent.includes("only counted")`)
	tab.Wait(`document.getElementById("name").textContent === "notes.txt, 6 B"`)
}
