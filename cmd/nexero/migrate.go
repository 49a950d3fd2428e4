package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/nexero-vr/nexero/internal/postgres"
)

func newMigrate(env []string) *cobra.Command {
	command := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the database's schema up to this program's",
		Long: `Bring the database's schema up to this program's. Migrations go forward only and
one caller at a time; workers refuse a schema that is not theirs.`,
		Args: cobra.NoArgs,
	}
	status := command.Flags().Bool("status", false, "only say which version the database has")
	return operate(command, env, func(cmd *cobra.Command, o operator, _ []string) error {
		url, err := o.databaseURL(cmd.Context())
		if err != nil {
			return err
		}
		if !*status {
			if err := postgres.Migrate(cmd.Context(), url, o.log); err != nil {
				return err
			}
		}
		current, newest, err := postgres.SchemaVersion(cmd.Context(), url)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "schema version %d, this program's is %d\n", current, newest)
		return err
	})
}
