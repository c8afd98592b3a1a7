package main

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/examples/internal/exampletest"
)

func dial(t *testing.T, url string) *walve.Conn {
	t.Helper()
	c, err := walve.Dial(t.Context(), url+"ws")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(exampletest.Timeout))
	return c
}

func send(t *testing.T, c *walve.Conn, p place) {
	t.Helper()
	msg, _ := json.Marshal(p)
	if err := c.WriteMessage(walve.OpText, msg); err != nil {
		t.Fatal(err)
	}
}

// last reads until somebody is where p is.
func last(t *testing.T, c *walve.Conn, p place) {
	t.Helper()
	for {
		_, msg, err := c.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		var news []place
		if err := json.Unmarshal(msg, &news); err != nil {
			t.Fatal(err)
		}
		for _, n := range news {
			if n.Name == p.Name && n.Lat == p.Lat && n.Lon == p.Lon {
				return
			}
		}
	}
}

// TestSlowReader: one that does not read holds up nobody, and when it does it
// learns the last of it.
func TestSlowReader(t *testing.T) {
	server := exampletest.Start(t, "-addr", "127.0.0.1:0")
	slow, fast, mover := dial(t, server.URL), dial(t, server.URL), dial(t, server.URL)
	go func() { // nobody looks, but Pings are answered
		for {
			if _, _, err := mover.ReadMessage(); err != nil {
				return
			}
		}
	}()
	var p place
	for i := range 20_000 {
		p = place{Name: "mover", Lat: float64(i) / 1000, Lon: 1}
		send(t, mover, p)
	}
	last(t, fast, p)
	last(t, slow, p)
}

func TestRefuses(t *testing.T) {
	server := exampletest.Start(t, "-addr", "127.0.0.1:0")
	exampletest.CheckOrigin(t, server.URL, "ws")
	for _, p := range []place{{Name: "x", Lat: 91}, {Name: "x", Lon: -181}, {}, {Name: "a name that is much too long"}} {
		c := dial(t, server.URL)
		send(t, c, p)
		var closed *walve.CloseError
		for {
			if _, _, err := c.ReadMessage(); err != nil {
				if !errors.As(err, &closed) || closed.Code != walve.StatusPolicyViolation {
					t.Errorf("%+v: %v", p, err)
				}
				break
			}
		}
	}
}
