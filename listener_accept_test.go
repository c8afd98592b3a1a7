package walve_test

import (
	"testing"
	"testing/synctest"

	"github.com/bodokaiser/walve"
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
