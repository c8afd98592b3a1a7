package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/examples/internal/exampletest"
)

// A client does what the page does with messages.
type client struct {
	t      *testing.T
	dialer walve.Dialer
	url    string

	conn   *walve.Conn
	worker int
	stream string
	last   uint64
	texts  []string
	unsent []byte // a message that was not acknowledged
	lost   int    // how often the connection was
}

func newClient(t *testing.T, site string) *client {
	t.Helper()
	origin := strings.TrimSuffix(site, "/")
	c := &client{t: t, url: site, dialer: walve.Dialer{Header: http.Header{"Origin": {origin}}}}
	t.Cleanup(func() {
		if c.conn != nil {
			c.conn.Close()
		}
	})
	return c
}

// connect connects, as often as it takes: a worker that ends may reset what has
// not been accepted yet.
func (c *client) connect(ctx context.Context) error {
	for {
		conn, err := c.dialer.DialURL(ctx, fmt.Sprintf("%smessages?last=%d&stream=%s", c.url, c.last, c.stream))
		if err == nil {
			c.conn = conn
			conn.SetDeadline(time.Now().Add(exampletest.Timeout))
			var m toPage
			if m, err = c.read(); err == nil {
				c.worker, c.stream = m.Worker, m.Stream
				c.send()
				return nil
			}
		}

		if ctx.Err() != nil {
			return err
		}
	}
}

func (c *client) read() (toPage, error) {
	var m toPage
	_, msg, err := c.conn.ReadMessage()
	if err == nil {
		err = json.Unmarshal(msg, &m)
	}
	return m, err
}

// next returns what comes next, from whatever connection, and notes messages.
func (c *client) next(ctx context.Context) (toPage, error) {
	for {
		if c.conn != nil {
			m, err := c.read()
			if err == nil {
				if m.Seq != 0 {
					if m.Seq != c.last+1 {
						return m, fmt.Errorf("message %d behind %d", m.Seq, c.last)
					}
					c.last = m.Seq
					c.texts = append(c.texts, m.Text)
				}
				return m, nil
			}
			c.conn.Close()
			c.conn = nil
			c.lost++
		}
		if err := c.connect(ctx); err != nil {
			return toPage{}, err
		}
	}
}

// send sends what was not acknowledged. If it fails, so does the next read.
func (c *client) send() {
	if c.unsent != nil {
		c.conn.WriteMessage(walve.OpText, c.unsent)
	}
}

// publish sends a message until it is acknowledged.
func (c *client) publish(ctx context.Context, text string) error {
	c.unsent, _ = json.Marshal(fromPage{ID: newToken(), Text: text})
	c.send()
	for {
		m, err := c.next(ctx)
		if err != nil {
			return err
		}
		if m.Ack != "" {
			c.unsent = nil
			return nil
		}
	}
}

// until reads until as many messages are there.
func (c *client) until(ctx context.Context, n int) error {
	for len(c.texts) < n {
		if _, err := c.next(ctx); err != nil {
			return err
		}
	}
	return nil
}

// overSocket has the client connect to a unix socket, whatever its URL says.
func (c *client) overSocket(path string) {
	c.dialer.NetDial = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
}

func bound(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), exampletest.Timeout)
	t.Cleanup(cancel)
	return ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
