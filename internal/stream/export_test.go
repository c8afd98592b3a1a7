package stream

import "unsafe"

// TCPSize is what New allocates for a TCP socket, in bytes.
const TCPSize = unsafe.Sizeof(tcp{})

// MaxQueued is how many bytes a Stream over TLS takes at most before they are
// sent.
const MaxQueued = maxQueued * len(block{}.data)

var IsTimeout = isTimeout
