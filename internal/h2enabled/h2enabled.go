// Package h2enabled tells whether the HTTP/2 servers of this program take
// WebSockets. Like net/http it looks once, when it is initialised: by its path
// that is behind walve/enable/internal/set, if that is there, and before
// walve/enable restores GODEBUG.
package h2enabled

import (
	"os"
	"strings"
)

// Server is what net/http decides by the same test.
var Server = strings.Contains(os.Getenv("GODEBUG"), "http2xconnect=1")
