package main

import (
	"encoding/json"

	"github.com/spf13/cobra"
)

func newStatus(env []string) *cobra.Command {
	command := &cobra.Command{
		Use:   "status",
		Short: "Say where the running pipeline is and how to get in",
		Long: `Print where the pipeline in the data directory is: addresses, database, queue and
its key, as JSON. It waits for a pipeline that is starting.`,
		Args: cobra.NoArgs,
	}
	return operate(command, env, func(cmd *cobra.Command, o operator, _ []string) error {
		run, err := o.running(cmd.Context())
		if err != nil {
			return err
		}
		out := json.NewEncoder(cmd.OutOrStdout())
		out.SetIndent("", "  ")
		return out.Encode(run)
	})
}
