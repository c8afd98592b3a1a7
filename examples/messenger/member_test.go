package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/examples/internal/bus"
	"github.com/bodokaiser/walve/examples/internal/exampletest"
	"github.com/nats-io/nats-server/v2/server"
)

// A client is a member without a browser.
type client struct {
	*walve.Conn
	t *testing.T
}

// join returns a new member of a room, who hears what is said there.
func join(t *testing.T, site, room, name string) client {
	t.Helper()
	// A small buffer, so that it shows soon who does not read.
	d := walve.Dialer{NetDial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			err = c.(*net.TCPConn).SetReadBuffer(64 << 10)
		}
		return c, err
	}}
	c, err := d.DialURL(t.Context(), site+"ws?"+url.Values{"room": {room}, "name": {name}}.Encode())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(exampletest.Timeout))
	m := client{c, t}
	m.wait(named("here", name)) // it hears what is said from now on
	return m
}

func (c client) send(e event) {
	c.t.Helper()
	if err := c.WriteMessage(walve.OpText, e.encode()); err != nil {
		c.t.Fatal(err)
	}
}

// wait reads until an event that is as wanted.
func (c client) wait(wanted func(event) bool) event {
	c.t.Helper()
	for {
		op, msg, err := c.ReadMessage()
		if err != nil {
			c.t.Fatal(err)
		}
		var e event
		if op == walve.OpText && json.Unmarshal(msg, &e) == nil && wanted(e) {
			return e
		}
	}
}

func text(s string) func(event) bool {
	return func(e event) bool { return e.Type == "text" && e.Text == s }
}

func named(kind, name string) func(event) bool {
	return func(e event) bool { return e.Type == kind && e.Name == name }
}

// TestSlowReader: who does not read is dropped with 1013 and holds up nobody.
func TestSlowReader(t *testing.T) {
	site := start(t).URL
	slow, ada, bob := join(t, site, "r", "slow"), join(t, site, "r", "Ada"), join(t, site, "r", "Bob")
	slowID := ada.wait(named("here", "slow")).From
	ended := make(chan bool)
	go func() {
		defer close(ended)
		for {
			if _, _, err := ada.ReadMessage(); err != nil { // until it is closed below
				return
			}
		}
	}()
	// More than fits into the sockets and the queue, no faster than Bob reads.
	ada.send(event{Type: "image", MIME: "image/png", Size: maxImage})
	dropped := false
	for parts := maxImage / partSize; parts > 0 && !dropped; parts-- {
		if err := ada.WriteMessage(walve.OpBinary, make([]byte, partSize)); err != nil {
			t.Fatal(err)
		}
		for op := walve.OpText; op == walve.OpText && !dropped; {
			var msg []byte
			var err error
			if op, msg, err = bob.ReadMessage(); err != nil {
				t.Fatal(err)
			}
			var e event
			dropped = op == walve.OpText && json.Unmarshal(msg, &e) == nil && e.Type == "left" && e.From == slowID
		}
	}
	if !dropped {
		bob.wait(func(e event) bool { return e.Type == "left" && e.From == slowID })
	}
	// The server waits for seconds only before it cuts off what was not read.
	for {
		if _, _, err := slow.ReadMessage(); err != nil {
			var closed *walve.CloseError
			if !errors.As(err, &closed) || closed.Code != walve.StatusTryAgainLater {
				t.Errorf("the slow one got %v", err)
			}
			break
		}
	}
	ada.send(event{Type: "text", Text: "still here"})
	bob.wait(text("still here"))
	ada.Close()
	<-ended
}

// TestNATS: two messengers that share a NATS server are one.
func TestNATS(t *testing.T) {
	s, err := bus.Start(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	first, second := start(t, "-nats", s.ClientURL()), start(t, "-nats", s.ClientURL())
	ada, bob := join(t, first.URL, "grün", "Ada"), join(t, second.URL, "grün", "Bob")
	ada.wait(named("here", "Bob"))
	bob.wait(named("here", "Ada"))
	ada.send(event{Type: "text", Text: "hello"})
	bob.wait(text("hello"))
	stranger := join(t, second.URL, "elsewhere", "Eve")
	bob.send(event{Type: "text", Text: "secret"})
	ada.wait(text("secret"))
	stranger.send(event{Type: "text", Text: "mine"})
	stranger.wait(func(e event) bool {
		if e.Text == "secret" || e.Text == "hello" {
			t.Errorf("another room has heard %q", e.Text)
		}
		return e.Text == "mine"
	})
}

func TestRefuses(t *testing.T) {
	site := start(t).URL
	exampletest.CheckOrigin(t, site, "ws?room=x&name=y")
	if _, err := walve.Dial(t.Context(), site+"ws?room=x"); err == nil || !strings.Contains(err.Error(), "400") {
		t.Errorf("without a name: %v", err)
	}
	for name, e := range map[string]event{
		"type":      {Type: "here"},
		"text":      {Type: "text", Text: strings.Repeat("x", maxText+1)},
		"image":     {Type: "image", MIME: "image/svg+xml", Size: 1},
		"thumbnail": {Type: "image", MIME: "image/png", Size: 1, Thumbnail: "javascript:alert(1)"},
		"size":      {Type: "image", MIME: "image/png", Size: maxImage + 1},
	} {
		c := join(t, site, "r", name)
		c.send(e)
		for {
			_, _, err := c.ReadMessage()
			var closed *walve.CloseError
			if errors.As(err, &closed) && closed.Code == walve.StatusPolicyViolation {
				break
			}
			if err != nil {
				t.Errorf("%s: %v", name, err)
				break
			}
		}
	}
}

func TestCancelled(t *testing.T) {
	site := start(t).URL
	ada, bob := join(t, site, "r", "Ada"), join(t, site, "r", "Bob")
	ada.wait(named("here", "Bob"))
	bob.wait(named("here", "Ada"))
	ada.send(event{Type: "image", MIME: "image/png", Size: 1000})
	if err := ada.WriteMessage(walve.OpBinary, make([]byte, 500)); err != nil {
		t.Fatal(err)
	}
	image := bob.wait(func(e event) bool { return e.Type == "image" })
	ada.wait(func(e event) bool { return e.Type == "progress" && e.ID == image.ID && e.Size == 500 })
	ada.Close()
	bob.wait(func(e event) bool { return e.Type == "cancel" && e.ID == image.ID })
}
