// The echo example streams back what its page sends, frame by frame, and shows
// the headers of the frames as they pass:
//
//	go run ./examples/echo
package main

import (
	"context"
	"embed"
	"flag"
	"io"
	"net/http"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/examples/internal/page"
	"github.com/bodokaiser/walve/examples/internal/program"
)

//go:embed static
var static embed.FS

func main() { program.Main("echo", run) }

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("echo", flag.ContinueOnError)
	addr := flags.String("addr", "127.0.0.1:8080", "serve the page at this `address`")
	if err := program.Parse(flags, args); err != nil {
		return err
	}
	var w watchers
	mux := page.Mux(static)
	mux.HandleFunc("/watch", w.handle)
	mux.HandleFunc("/ws", func(rw http.ResponseWriter, r *http.Request) {
		c, err := walve.Upgrade(rw, r)
		if err != nil {
			return // Upgrade has answered the request
		}
		defer context.AfterFunc(r.Context(), func() { c.CloseWithStatus(walve.StatusGoingAway, "") })()
		defer c.Close()
		echo(c, w.of(r.FormValue("id")))
	})
	return page.Serve(ctx, out, *addr, mux)
}

// echo sends every frame back, with the header that it came with, while it
// arrives: a frame may be larger than the memory of the machine.
func echo(c *walve.Conn, saw func(direction string, h walve.Header)) error {
	for {
		h, r, err := c.NextReader()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		saw("in", h)
		w, err := c.NextWriter(h)
		if err != nil {
			return err
		}
		h.Masked = false // those of a server never are
		saw("out", h)
		if _, err := io.Copy(w, r); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
	}
}
