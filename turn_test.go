package walve_test

import (
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodokaiser/walve"
)

// TestRule3GivenBack: what was queued while the wire was on its way to a writer
// that does not want it any more leaves all the same.
func TestRule3GivenBack(t *testing.T) {
	bothRoles(t, func(t *testing.T, client bool) {
		for name, deadline := range map[string]time.Duration{"closed": 0, "too late": time.Second} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c, p := newWirePeer(t, walve.TestConfig{Client: client})
					if deadline > 0 {
						c.SetWriteDeadline(time.Now().Add(deadline))
					}
					walve.HoldWire(c)
					written := beginErr(func() error { _, err := c.Write([]byte("x")); return err })
					synctest.Wait()
					pending(t, "Write", written)
					walve.PassWire(c, deadline)
					if r := <-written; !errors.Is(r.err, net.ErrClosed) && !errors.Is(r.err, os.ErrDeadlineExceeded) {
						t.Errorf("Write: %v", r.err)
					}
					p.SetReadDeadline(time.Now().Add(time.Second))
					p.wantClose(walve.StatusNormalClosure)
					p.Close()
					c.Close()
				})
			})
		}
	})
}
