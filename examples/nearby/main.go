// The nearby example has every page share its position, or a simulated walk,
// and see everybody move on a map that it draws itself:
//
//	go run ./examples/nearby
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

func main() { program.Main("nearby", run) }

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("nearby", flag.ContinueOnError)
	addr := flags.String("addr", "127.0.0.1:8080", "serve the page at this `address`")
	if err := program.Parse(flags, args); err != nil {
		return err
	}
	h := newHub()
	upgrader := walve.Upgrader{MaxMessageSize: 1 << 10}
	mux := page.Mux(static)
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		c, err := upgrader.Upgrade(w, r)
		if err != nil {
			return // Upgrade has answered the request
		}
		defer context.AfterFunc(r.Context(), func() { c.CloseWithStatus(walve.StatusGoingAway, "") })()
		defer c.Close()
		h.serve(c)
	})
	return page.Serve(ctx, out, *addr, mux)
}
