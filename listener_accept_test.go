package walve_test

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
)

// TestRule12CloseEndsAccept: an Accept that waits ends with Close.
func TestRule12CloseEndsAccept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := new(walve.Listener)
		accept := beginErr(func() error { _, err := l.Accept(); return err })
		synctest.Wait()
		pending(t, "Accept", accept)
		l.Close()
		wantClosed(t, (<-accept).err)
	})
}

// TestRule12AcceptWhileClosing closes the Listener in the moment in which an
// Accept that waits is given a connection: it returns the connection, which
// lives, or fails, and the peer is turned away.
func TestRule12AcceptWhileClosing(t *testing.T) {
	for range 50 { // which comes first is up to chance
		bubble(t, func(t *testing.T) {
			l := new(walve.Listener)
			var c net.Conn
			accept := beginErr(func() (err error) { c, err = l.Accept(); return err })
			synctest.Wait()
			own, far := memconn.Pipe()
			peer := newRawPeer(t, far)
			l.ServeHTTP(newHijacker(own), parseRequest(t))
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			far.SetReadDeadline(time.Now().Add(time.Minute)) // not for ever
			err := (<-accept).err
			if peer.response(); err == nil {
				client := walve.NewTestConn(peer, walve.TestConfig{Client: true})
				wantEcho(t, c, client)
				go client.Close()
				c.Close()
			} else {
				wantClosed(t, err)
				wantGoingAway(t, walve.NewTestConn(peer, walve.TestConfig{Client: true}))
				peer.Close()
			}
		})
	}
}
