package main

// Work is what the two processes of a trial do together. One of them, the one
// that Role names, uses the library under test; the other is its counterpart,
// which speaks as little WebSocket as possible and is the same for all, so
// that what differs from raw TCP is that role's cost alone. With compression
// both use the library: there is no counterpart that costs nothing.
type Work struct {
	Kind Kind `json:"kind"`
	Role Role `json:"role"`
	API  API  `json:"api"`

	Size  int  `json:"size"`  // payload bytes of a message or Write
	Conns int  `json:"conns"` // connections; of handshakes: at a time
	Depth int  `json:"depth"` // messages in flight on each connection
	TLS   bool `json:"tls"`

	Compression Compression `json:"compression,omitempty"`

	Path string `json:"path,omitempty"` // of the file
}

// Kind says what is done.
type Kind string

const (
	Echo      Kind = "echo"      // the client waits for each message to come back
	Download  Kind = "download"  // bytes from the server to the client
	Upload    Kind = "upload"    // bytes from the client to the server
	File      Kind = "file"      // a file from the server to the client
	Relay     Kind = "relay"     // bytes from a TCP connection through the server to the client
	Idle      Kind = "idle"      // connections on which nothing happens
	Handshake Kind = "handshake" // connect, opening handshake, close
)

// Role is a side of a connection.
type Role string

const (
	AsServer Role = "server"
	AsClient Role = "client"
	AsBoth   Role = "both"
)

// serves reports whether the server uses the library.
func (w Work) serves() bool { return w.Role != AsClient }

// dials reports whether the client uses the library.
func (w Work) dials() bool { return w.Role != AsServer }

// Compression is how messages, of JSON then, are compressed.
type Compression string

const (
	Uncompressed    Compression = ""
	ContextTakeover Compression = "takeover"    // by both sides
	NoTakeover      Compression = "no takeover" // by neither
)

// payloads are those of the messages to be sent, one after another.
func (w Work) payloads() [][]byte {
	if w.Compression == Uncompressed {
		return [][]byte{payload(w.Size)}
	}
	return documents(w.Size)
}

// API says which calls of a library are to be used.
type API string

const (
	Any      API = ""         // whichever its documentation recommends for messages
	Stream   API = "stream"   // io.Reader and io.Writer
	Messages API = "messages" // whole messages, whose boundaries are kept
)

// Link is a connection of the library under test, or of raw TCP. Exactly one
// of the three is set: a library is used in the style it was made for.
type Link struct {
	Stream  StreamConn
	Message MessageConn
	Event   EventConn
}

// StreamConn is a connection without message boundaries.
type StreamConn interface {
	Read(p []byte) (int, error)
	Write(p []byte) (int, error)
	Close() error
}

// MessageConn is a connection whose messages are read and written by calls.
type MessageConn interface {
	// ReadMessage returns the next message, valid until the next call.
	ReadMessage() ([]byte, error)
	WriteMessage(p []byte) error
	Close() error
}

// EventConn is a connection whose messages are handed to Events.
type EventConn interface {
	WriteMessage(p []byte) error
	Close() error
}

// Events are the callbacks that libraries with events are given.
type Events interface {
	Opened(c EventConn)
	Message(c EventConn, p []byte)
}

// Close closes the connection, in whichever form it is.
func (l Link) Close() error {
	switch {
	case l.Stream != nil:
		return l.Stream.Close()
	case l.Message != nil:
		return l.Message.Close()
	}
	return l.Event.Close()
}
