package walve_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
)

// TestRule6ControlBehindClose: a Ping that comes in together with the peer's
// Close frame, or partly so, is answered between two walve ends.
func TestRule6ControlBehindClose(t *testing.T) {
	ends := map[string]func(c *walve.Conn) error{
		"Read 1":      func(c *walve.Conn) error { _, err := c.Read(make([]byte, 1)); return err },
		"Read 64 KiB": func(c *walve.Conn) error { _, err := c.Read(make([]byte, 64<<10)); return err },
		"NextReader":  func(c *walve.Conn) error { _, _, err := c.NextReader(); return err },
		"NextMessage": func(c *walve.Conn) error { _, _, err := c.NextMessage(); return err },
		"ReadMessage": func(c *walve.Conn) error { _, _, err := c.ReadMessage(); return err },
		"WriteTo": func(c *walve.Conn) error {
			if _, err := c.WriteTo(io.Discard); err != nil {
				return err
			}
			return io.EOF
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			bothRoles(t, func(t *testing.T, client bool) {
				pings := sends(fin|ping, "one", fin|ping, "two")(!client)
				for k := range len(pings) + 1 {
					bubble(t, func(t *testing.T) {
						c, p := newWirePeer(t, walve.TestConfig{Client: client, HalfClose: true})
						defer p.Close()
						defer c.Close()
						p.write(append(sends(fin|walve.OpClose, "\x03\xe8")(!client), pings[:k]...))
						if err := end(c); err != io.EOF {
							t.Fatalf("got %v", err)
						}
						p.write(pings[k:])
						p.want(fin|pong, "one")
						p.want(fin|pong, "two")
						if _, err := c.Write([]byte("on")); err != nil {
							t.Error(err)
						}
					})
				}
			})
		})
	}
}

// TestRule6DataBehindClose: data behind the peer's Close frame breaks the
// protocol, also when nobody reads any more.
func TestRule6DataBehindClose(t *testing.T) {
	bothRoles(t, func(t *testing.T, client bool) {
		for name, b0 := range map[string]walve.Opcode{"message": fin | bin, "fragment": bin} {
			t.Run(name, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					c, p := newWirePeer(t, walve.TestConfig{Client: client, HalfClose: true})
					p.send(fin|bin, "unread")
					_, left, err := c.NextReader()
					if err != nil {
						t.Fatal(err)
					}
					p.send(fin|cls, closePayload(1000, ""))
					if _, err := io.Copy(io.Discard, c); err != nil {
						t.Fatal(err)
					}
					_, err = left.Read(make([]byte, 1))
					wantOpError(t, "reader left behind", err, nil)
					payload := "x"
					if b0 == bin {
						payload = "" // a fragment that is empty, even
					}
					p.send(b0, payload)
					p.wantClose(1002)
					synctest.Wait()
					_, err = c.Write([]byte("on"))
					wantProtocolError(t, "Write", err, 1002)
					p.Close()
					c.Close()
				})
			})
		}
	})
}

// TestRule6PingWhenBothHaveClosed: once both ends have closed their directions
// and the stream has ended, Ping says net.ErrClosed, as Read says io.EOF.
func TestRule6PingWhenBothHaveClosed(t *testing.T) {
	for _, clientFirst := range []bool{true, false} {
		bubble(t, func(t *testing.T) {
			first, second := pairOver(t, func(testing.TB) (net.Conn, net.Conn) { return memconn.Pipe() }, true)
			if !clientFirst {
				first, second = second, first
			}
			defer closePair(t, first, second)
			for _, end := range [][2]*walve.Conn{{first, second}, {second, first}} {
				if err := end[0].CloseWrite(); err != nil {
					t.Fatal(err)
				}
				if _, err := end[1].Read(make([]byte, 1)); err != io.EOF {
					t.Fatal(err)
				}
			}
			synctest.Wait()
			for _, c := range []*walve.Conn{first, second} {
				checkOpError(t, "Ping", c.Ping(context.Background()), net.ErrClosed)
			}
		})
	}
}

// TestRule6CloseBehindHalfClose closes a Conn that has not looked yet at what
// came in together with the peer's half-close. Which of the two comes first is
// up to chance.
func TestRule6CloseBehindHalfClose(t *testing.T) {
	bothRoles(t, func(t *testing.T, client bool) {
		for range 50 {
			synctest.Test(t, func(t *testing.T) {
				c, p := newWirePeer(t, walve.TestConfig{Client: client, HalfClose: true})
				p.write(sends(fin|cls, closePayload(1000, ""), fin|ping, "behind")(!client))
				if _, err := c.Read(make([]byte, 1)); err != io.EOF {
					t.Errorf("Read: %v", err)
				}
				if err := c.Close(); err != nil {
					t.Error(err)
				}
				p.Close()
			})
		}
	})
}

// TestRule5TailBehindHalfClose: the peer may send Pings behind its half-close;
// closing with one unread would reset the connection and take the tail from it.
func TestRule5TailBehindHalfClose(t *testing.T) {
	nc1, nc2 := tcpSockets(t)
	nc1.(*net.TCPConn).SetReadBuffer(4 << 10)
	nc2.(*net.TCPConn).SetWriteBuffer(1 << 20)
	client, server := pair(nc1, nc2, true)
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Read(make([]byte, 1)); err != io.EOF {
		t.Fatal(err)
	}
	data := bytes.Repeat([]byte("0123456789abcdef"), 20<<10) // 320 KiB
	server.SetWriteDeadline(time.Now().Add(3 * time.Second))
	if n, err := server.Write(data); n != len(data) || err != nil {
		t.Fatal(n, err)
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	client.Ping(ctx)
	cancel()
	time.Sleep(50 * time.Millisecond)
	got, err := io.ReadAll(client)
	if len(got) != len(data) || err != nil {
		t.Errorf("the client read %d of %d bytes, %v", len(got), len(data), err)
	}
	client.Close()
}
