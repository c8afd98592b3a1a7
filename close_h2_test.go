package walve_test

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
)

// TestRule5CloseOverHTTP2: Close returns when the Close frame is with the
// system, or after a second; what comes of the connection is known in the end.
func TestRule5CloseOverHTTP2(t *testing.T) {
	const second = time.Second
	for _, tt := range []struct {
		name           string
		takes, returns time.Duration // when the peer takes something, and when Close returns
	}{
		{"takes it", 0, 0},
		{"takes it soon", second / 2, second / 2},
		{"takes it late", 3 * second, second},
		{"takes nothing", time.Hour, second},
	} {
		// close closes c, whose stream takes nothing until own is told to.
		closing := func(t *testing.T, c *walve.Conn, own *memconn.Conn) {
			own.SetWriteLimit(0)
			resume := time.AfterFunc(tt.takes, func() { own.SetWriteLimit(-1) })
			defer resume.Stop()
			begun := time.Now()
			if tt.takes == 0 {
				synctest.Wait()
				own.SetWriteLimit(-1)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			if d := time.Since(begun); d != tt.returns {
				t.Errorf("Close took %v, want %v", d, tt.returns)
			}
			time.Sleep(10 * second)
		}
		t.Run("client "+tt.name, func(t *testing.T) {
			dialing(t, func(t *testing.T, d *h2Dials) {
				peers := make(chan *h2Peer, 10)
				c, err := d.rawDialer(peers).DialURL(t.Context(), "ws://host/")
				if err != nil {
					t.Fatal(err)
				}
				far := <-(<-peers).opened
				far.SetWriteLimit(-1)
				closing(t, c, c.NetConn().(*memconn.Conn))
				if tt.takes < 10*second {
					checkFrames(t, "data", decode(t, far.take(), true), closeFrame(1000, ""))
				}
				c.NetConn().Close()
			})
		})
		t.Run("server "+tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s, r, peer := extendedConnect(t)
				ln := new(walve.Listener)
				returned := make(chan time.Time, 1)
				go func() {
					ln.ServeHTTP(s, r)
					returned <- time.Now()
					s.handlerReturns()
				}()
				c, err := ln.Accept()
				if err != nil {
					t.Fatal(err)
				}
				begun := time.Now()
				closing(t, c.(*walve.Conn), s.own)
				if tt.takes < 5*second {
					got, err := io.ReadAll(peer)
					if err != nil {
						t.Error(err)
					}
					checkFrames(t, "data", decode(t, got, false), closeFrame(1000, ""))
				}
				if d := (<-returned).Sub(begun); d > 5*second {
					t.Errorf("the handler has returned after %v", d)
				}
				peer.Close()
			})
		})
	}
}
