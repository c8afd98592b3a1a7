// Package enable lets the HTTP/2 servers of this program take WebSockets (RFC
// 8441): those of net/http and of golang.org/x/net/http2. It is imported for
// its side effect, by the main package or anywhere else:
//
//	import _ "github.com/bodokaiser/walve/enable"
//
// Without it they do not tell clients that they would (they do not send
// SETTINGS_ENABLE_CONNECT_PROTOCOL), and browsers and Dialers open a connection
// with HTTP/1.1 for each WebSocket. They decide that once, when the program
// starts, by the environment variable GODEBUG; to start the program with
// GODEBUG=http2xconnect=1 does the same as this package, and GODEBUG with
// http2xconnect=0 undoes it. A //go:debug line does not reach them.
//
// It holds for the whole program. Other WebSocket packages in it then meet
// requests with the method CONNECT, which they do not understand, where
// browsers would have used HTTP/1.1: import it only where all WebSockets are
// walve's. For the same reason it is not the default.
//
// GODEBUG is put back to what it was before main begins, so that child
// processes do not inherit the setting. Clients do not need this package.
package enable

import (
	_ "net/http" // initialised before this package
	"os"

	_ "golang.org/x/net/http2" // the same

	"github.com/bodokaiser/walve/enable/internal/set"
)

func init() {
	switch {
	case set.Now == "" || os.Getenv("GODEBUG") != set.Now:
		// It was not set, or somebody else has changed it since.
	case set.Had:
		os.Setenv("GODEBUG", set.Was)
	default:
		os.Unsetenv("GODEBUG")
	}
}
